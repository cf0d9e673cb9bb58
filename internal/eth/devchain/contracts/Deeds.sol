// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

interface Receiver {
  function onERC721Received(address operator, address from, uint256 id, bytes calldata data) external returns (bytes4);
}

// A collection of ERC-721 whose things are numbered from 1. By its kind it is honest (0), or a transfer or an approval: 1 takes
// the next thing of the sender too, 2 moves the next thing in its place and logs the right one, 3 logs and moves nothing, 4 lets
// the recipient take all of the sender's, 5 goes to somebody else and logs the recipient, 6 says of itself that it is no collection.
contract Deeds {
  uint256 immutable kind;
  mapping(uint256 id => address) owners;
  mapping(uint256 id => address) approvals;
  mapping(address owner => mapping(address operator => bool)) operators;
  mapping(address account => uint256) counts;

  event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
  event Approval(address indexed owner, address indexed approved, uint256 indexed tokenId);
  event ApprovalForAll(address indexed owner, address indexed operator, bool approved);

  error ERC721NonexistentToken(uint256 id);
  error ERC721InsufficientApproval(address operator, uint256 id);
  error ERC721IncorrectOwner(address sender, uint256 id, address owner);
  error ERC721InvalidReceiver(address receiver);

  constructor(uint256 k, address[] memory accounts) {
    kind = k;
    for (uint256 i = 0; i < accounts.length; i++) {
      owners[i + 1] = accounts[i];
      counts[accounts[i]]++;
      emit Transfer(address(0), accounts[i], i + 1);
    }
  }

  function name() external pure returns (string memory) { return "Deeds"; }
  function symbol() external pure returns (string memory) { return "DEED"; }
  function supportsInterface(bytes4 id) external view returns (bool) { return kind != 6 && (id == 0x80ac58cd || id == 0x01ffc9a7); }
  function balanceOf(address account) external view returns (uint256) { return counts[account]; }
  function getApproved(uint256 id) external view returns (address) { ownerOf(id); return approvals[id]; }
  function isApprovedForAll(address owner, address operator) external view returns (bool) { return operators[owner][operator]; }

  function ownerOf(uint256 id) public view returns (address) {
    if (owners[id] == address(0)) revert ERC721NonexistentToken(id);
    return owners[id];
  }

  function approve(address to, uint256 id) external {
    address owner = ownerOf(id);
    if (msg.sender != owner && !operators[owner][msg.sender]) revert ERC721InsufficientApproval(msg.sender, id);
    if (kind == 4) allowAll(owner, to, true);
    if (kind == 1) move(owner, to, id + 1);
    approvals[id] = to;
    emit Approval(owner, to, id);
  }

  function setApprovalForAll(address operator, bool yes) external { allowAll(msg.sender, operator, yes); }

  function allowAll(address owner, address operator, bool yes) internal {
    operators[owner][operator] = yes;
    emit ApprovalForAll(owner, operator, yes);
  }

  function transferFrom(address from, address to, uint256 id) public {
    address owner = ownerOf(id);
    if (owner != from) revert ERC721IncorrectOwner(from, id, owner);
    if (msg.sender != owner && approvals[id] != msg.sender && !operators[owner][msg.sender])
      revert ERC721InsufficientApproval(msg.sender, id);
    if (to == address(0)) revert ERC721InvalidReceiver(to);
    emit Transfer(from, to, id);
    if (kind == 3) return;
    if (kind == 1) { move(from, to, id + 1); emit Transfer(from, to, id + 1); }
    if (kind == 4) allowAll(from, to, true);
    move(from, kind == 5 ? address(0xbad) : to, kind == 2 ? id + 1 : id);
  }

  function safeTransferFrom(address from, address to, uint256 id) external { safeTransferFrom(from, to, id, ""); }

  function safeTransferFrom(address from, address to, uint256 id, bytes memory data) public {
    transferFrom(from, to, id);
    if (to.code.length > 0 && Receiver(to).onERC721Received(msg.sender, from, id, data) != Receiver.onERC721Received.selector)
      revert ERC721InvalidReceiver(to);
  }

  function move(address from, address to, uint256 id) internal {
    delete approvals[id];
    owners[id] = to;
    counts[from]--;
    counts[to]++;
  }
}
