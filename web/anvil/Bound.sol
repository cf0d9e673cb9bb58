// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC1271} from "solady/src/accounts/ERC1271.sol";

/// A wallet of one owner with Solady's ERC-7739: the owner signs for this wallet, and sees what.
contract Bound is ERC1271 {
    address public owner;

    constructor(address first) {
        owner = first;
    }

    function setOwner(address next) external {
        require(msg.sender == owner);
        owner = next;
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Bound", "1");
    }

    function _erc1271Signer() internal view override returns (address) {
        return owner;
    }
}
