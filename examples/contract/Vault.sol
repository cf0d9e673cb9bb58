// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

interface Token {
  function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// A vault of the example: it takes a token that it was allowed to take, and counts shares.
contract Vault {
  Token public immutable token;
  mapping(address account => uint256) public sharesOf;

  event Deposit(address indexed from, address indexed receiver, uint256 assets);
  error NothingToDeposit();

  constructor(Token t) { token = t; }

  function deposit(uint256 assets, address receiver) external returns (uint256 shares) {
    if (assets == 0) revert NothingToDeposit();
    require(token.transferFrom(msg.sender, address(this), assets));
    sharesOf[receiver] += assets;
    emit Deposit(msg.sender, receiver, assets);
    return assets;
  }
}
