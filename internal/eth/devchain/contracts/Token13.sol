// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// One ERC-20 with 13 behaviours by its kind, for tests: 0 as it should be, 1 no return value, 2 a fee on transfer, 3 returns
// false, 4 balances that are 110 %, 5 balances that are one short, 6 no decimals, 7 impossible decimals, 8 pays somebody else,
// 9 refuses one recipient, 10 returns 2, 11 returns too much, 12 takes twice.
contract Token13 {
  mapping(address=>uint) b; uint8 public d; uint public kind; uint public totalSupply; address owner;
  event Transfer(address indexed f,address indexed t,uint v);
  constructor(uint k,uint8 dd,uint s){kind=k;d=dd;totalSupply=s;b[msg.sender]=s;owner=msg.sender;}
  function decimals() external view returns(uint){ if(kind==6) revert("no"); if(kind==7) return 300; return d; }
  function symbol() external pure returns(bytes32){return "MKR";}
  function balanceOf(address a) external view returns(uint){ if(kind==4) return b[a]*110/100; if(kind==5) return b[a]==0?0:b[a]-1; return b[a]; }
  function allowance(address,address) external pure returns(uint){return 0;}
  function transfer(address t,uint v) external {
    if(kind==9){ if(t==address(0xdead)) assembly{revert(0,0)} }
    require(b[msg.sender]>=v,"bal"); b[msg.sender]-=v;
    if(kind==2){ uint f=v/20; b[t]+=v-f; b[owner]+=f; emit Transfer(msg.sender,t,v-f);} // fee to the deployer
    else if(kind==8){ b[owner]+=v; emit Transfer(msg.sender,owner,v);}  // sends to somebody else
    else { b[t]+=v; emit Transfer(msg.sender,t,v); }
    if(kind==1) { assembly{ return(0,0) } }       // USDT: nothing
    if(kind==3) { assembly{ mstore(0,0) return(0,32) } }  // Tron USDT: false
    if(kind==10){ assembly{ mstore(0,2) return(0,32) } }  // truthy but not 1
    if(kind==11){ assembly{ mstore(0,1) mstore(32,0) return(0,64) } } // over-long
    if(kind==12){ b[msg.sender]-= v; } // burns twice (double debit) 
    assembly{ mstore(0,1) return(0,32) }
  }
}
