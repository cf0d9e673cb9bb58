// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Names of the dev chain: a registry of the Ethereum Name Service and its one resolver. Who deployed it says what is what.
contract Names {
  address immutable owner = msg.sender;
  mapping(bytes32 node => address) public addr;
  mapping(bytes32 node => string) public name;
  mapping(bytes32 node => address) other; // that answers for a node instead of this contract

  constructor(bytes32[] memory nodes, address[] memory accounts, bytes32[] memory reverse, string[] memory names) {
    for (uint256 i = 0; i < nodes.length; i++) {
      addr[nodes[i]] = accounts[i];
      name[reverse[i]] = names[i];
    }
  }

  function resolver(bytes32 node) external view returns (address) {
    if (other[node] != address(0)) return other[node];
    return addr[node] == address(0) && bytes(name[node]).length == 0 ? address(0) : address(this);
  }

  function set(bytes32 node, address a, string calldata n, address by) external {
    require(msg.sender == owner, "not the owner");
    (addr[node], name[node], other[node]) = (a, n, by);
  }
}
