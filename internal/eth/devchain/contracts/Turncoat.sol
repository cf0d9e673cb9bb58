// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// A token that changes after it was looked at, for tests: its decimals, its balances, its code. Whoever deployed it says when,
// as who may upgrade a proxy does.
contract Turncoat {
  mapping(address => uint) shares;
  address owner = msg.sender;
  uint8 public decimals = 6;
  uint public totalSupply;
  uint num = 1;
  uint den = 1;
  uint kind; // 0 as it should be, 1 takes twice, 2 grows by a tenth with each transfer, 3 shrinks by a tenth, 4 calls the recipient
  event Transfer(address indexed from, address indexed to, uint value);

  constructor(uint supply) { totalSupply = supply; shares[msg.sender] = supply; }

  modifier upgrade() { require(msg.sender == owner, "not the owner"); _; }
  function setDecimals(uint8 d) external upgrade { decimals = d; }
  function setKind(uint k) external upgrade { kind = k; }
  function rebase(uint n, uint d) external upgrade { num *= n; den *= d; }

  function symbol() external pure returns (string memory) { return "TOK"; }
  function allowance(address, address) external pure returns (uint) { return 0; }
  function balanceOf(address a) public view returns (uint) { return shares[a] * num / den; }

  function transfer(address to, uint value) external returns (bool) {
    uint moved = value * den / num;
    require(shares[msg.sender] >= moved, "balance");
    shares[msg.sender] -= moved;
    shares[to] += moved;
    emit Transfer(msg.sender, to, value);
    if (kind == 1) shares[msg.sender] -= moved;
    if (kind == 2) { num *= 11; den *= 10; }
    if (kind == 3) { num *= 9; den *= 10; }
    if (kind == 4 && to.code.length > 0) Hook(to).tokensReceived(msg.sender, value);
    return true;
  }
}

interface Hook { function tokensReceived(address from, uint value) external; }

// A recipient that passes on what it is paid before the payment has ended.
contract Passes is Hook {
  address payable next;
  constructor(address payable n) { next = n; }
  function tokensReceived(address, uint value) external { Turncoat(msg.sender).transfer(next, value); }
}
