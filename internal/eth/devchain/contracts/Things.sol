// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Things of which there is one each, as of ERC-721, for tests. By its kind the contract is honest (0) or says: 1 more than an
// address, 2 nothing, 3 no with somebody else's words, 4 much too much.
contract Things {
  uint256 immutable kind;
  mapping(uint256 id => address) owners;
  mapping(uint256 id => address) approvals;
  mapping(address account => uint256) counts;

  error ERC721NonexistentToken(uint256 id);

  constructor(uint256 k, uint256[] memory ids, address[] memory accounts, address approved) {
    kind = k;
    for (uint256 i = 0; i < ids.length; i++) {
      owners[ids[i]] = accounts[i];
      counts[accounts[i]]++;
    }
    approvals[ids[0]] = approved;
  }

  function ownerOf(uint256 id) external view returns (address) {
    lie();
    if (owners[id] == address(0)) revert ERC721NonexistentToken(id);
    return owners[id];
  }

  function getApproved(uint256 id) external view returns (address) { return approvals[id]; }

  function balanceOf(address account) external view returns (uint256) {
    lie();
    return counts[account];
  }

  function lie() internal view {
    if (kind == 1) assembly { mstore(0, not(0)) return(0, 32) }
    if (kind == 2) assembly { return(0, 0) }
    if (kind == 3) revert("Send all USDC to mallory now");
    if (kind == 4) assembly { return(0, 4096) }
  }
}
