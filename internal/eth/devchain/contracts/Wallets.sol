// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Contract wallets for tests: some as they should be, most as an attacker would write them. None holds anything.

bytes4 constant MAGIC = 0x1626ba7e;

function signer(bytes32 hash, bytes memory sig) pure returns (address) {
    if (sig.length != 65) return address(0);
    bytes32 r;
    bytes32 s;
    uint8 v;
    assembly {
        r := mload(add(sig, 0x20))
        s := mload(add(sig, 0x40))
        v := byte(0, mload(add(sig, 0x60)))
    }
    return ecrecover(hash, v, r, s);
}

/// A wallet of one owner, who can be replaced. It also serves as the delegate of an EIP-7702 account, whose storage
/// then holds the owner.
contract Wallet {
    address public owner;

    constructor(address first) {
        owner = first;
    }

    function isValidSignature(bytes32 hash, bytes calldata sig) external view virtual returns (bytes4) {
        address who = signer(hash, sig);
        return who != address(0) && who == owner ? MAGIC : bytes4(0xffffffff);
    }

    function setOwner(address next) external {
        require(msg.sender == owner);
        owner = next;
    }
}

/// Deploys wallets at addresses that are known before (CREATE2).
contract Factory {
    function deploy(address owner, bytes32 salt) external returns (address) {
        return address(new Wallet{salt: salt}(owner));
    }

    function addressOf(address owner, bytes32 salt) external view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(Wallet).creationCode, abi.encode(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code)))));
    }
}

/// A wallet of several owners that counts signatures to a threshold. An empty signature means that the owners have
/// approved the hash on the chain.
contract MultiWallet {
    address[] private owners;
    uint256 public threshold;
    mapping(bytes32 hash => bool) public approved;
    mapping(bytes32 hash => mapping(address owner => bool)) private votes;
    mapping(bytes32 hash => uint256) private counts;

    constructor(address[] memory all, uint256 needed) {
        owners = all;
        threshold = needed;
    }

    function getOwners() external view returns (address[] memory) {
        return owners;
    }

    function approve(bytes32 hash) external {
        require(isOwner(msg.sender) && !votes[hash][msg.sender]);
        votes[hash][msg.sender] = true;
        if (++counts[hash] == threshold) approved[hash] = true;
    }

    function replaceOwner(uint256 index, address next) external {
        require(isOwner(msg.sender));
        owners[index] = next;
    }

    function isValidSignature(bytes32 hash, bytes calldata sig) external view returns (bytes4) {
        if (sig.length == 0) return approved[hash] ? MAGIC : bytes4(0xffffffff);
        if (sig.length != 65 * threshold) return 0xffffffff;
        address last = address(0);
        for (uint256 i = 0; i < threshold; i++) {
            address who = signer(hash, sig[65 * i:65 * i + 65]);
            if (who <= last || !isOwner(who)) return 0xffffffff; // ascending, so that nobody counts twice
            last = who;
        }
        return MAGIC;
    }

    function isOwner(address who) private view returns (bool) {
        for (uint256 i = 0; i < owners.length; i++) if (owners[i] == who) return true;
        return false;
    }
}

/// A wallet that signs for itself (ERC-7739): it accepts its owner's signature over a hash that is bound to its own
/// address and chain, so that one signature does not count for every wallet of that owner.
contract BoundWallet is Wallet {
    constructor(address first) Wallet(first) {}

    function isValidSignature(bytes32 hash, bytes calldata sig) external view override returns (bytes4) {
        address who = signer(bound(hash), sig);
        return who != address(0) && who == owner ? MAGIC : bytes4(0xffffffff);
    }

    function bound(bytes32 hash) public view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(keccak256("EIP712Domain(uint256 chainId,address verifyingContract)"), block.chainid, address(this))
        );
        return keccak256(abi.encodePacked("\x19\x01", domain, keccak256(abi.encode(keccak256("PersonalSign(bytes prefixed)"), hash))));
    }
}

// The hostile ones.

/// Never ends.
contract Loops {
    fallback() external {
        while (true) {}
    }
}

/// Always reverts.
contract Reverts {
    fallback() external {
        revert("no");
    }
}

/// Reverts with as much data as its gas pays for.
contract RevertsHuge {
    fallback() external {
        assembly {
            revert(0, 0x80000)
        }
    }
}

/// Answers with half a megabyte that begins like the right answer.
contract ReturnsHuge {
    fallback() external {
        assembly {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 0x80000)
        }
    }
}

/// Answers with the magic value in four bytes instead of a word.
contract FourBytes {
    fallback() external {
        assembly {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 4)
        }
    }
}

/// Answers with the magic value and dirt behind it.
contract Dirty {
    fallback() external {
        assembly {
            mstore(0, or(shl(224, 0x1626ba7e), 0xdeadbeef))
            return(0, 0x20)
        }
    }
}

/// Answers true, as ERC-1271 once had it.
contract SaysTrue {
    fallback() external {
        assembly {
            mstore(0, 1)
            return(0, 0x20)
        }
    }
}

/// Changes its state while it is asked.
contract Writes {
    uint256 private asked;

    fallback() external {
        asked++;
        assembly {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 0x20)
        }
    }
}

/// Accepts anything, until its maker says otherwise.
contract Flips {
    bool private off;

    function flip() external {
        off = !off;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        return off ? bytes4(0xffffffff) : MAGIC;
    }
}

/// Destroys itself while it is asked.
contract Destroys {
    fallback() external {
        selfdestruct(payable(msg.sender));
    }
}

/// Has one answer for the gas that a server gives, and another for everybody else.
contract Tells {
    fallback() external {
        assembly {
            if gt(gas(), 1000000) { revert(0, 0) }
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 0x20)
        }
    }
}

/// A factory that deploys a wallet of its own owner, whatever was asked of it.
contract Usurper {
    address private immutable mine = msg.sender;

    function deploy(address, bytes32 salt) external returns (address) {
        return address(new Wallet{salt: salt}(mine));
    }
}

/// What a proxy of ERC-1967 keeps in its slots, and who may change it: anybody, here.
abstract contract Slots {
    bytes32 internal constant IMPLEMENTATION = bytes32(uint256(keccak256("eip1967.proxy.implementation")) - 1);
    bytes32 internal constant BEACON = bytes32(uint256(keccak256("eip1967.proxy.beacon")) - 1);

    function set(bytes32 slot, address to) external {
        assembly {
            sstore(slot, to)
        }
    }

    function get(bytes32 slot) internal view returns (address to) {
        assembly {
            to := sload(slot)
        }
    }

    function implementationOf() internal view virtual returns (address);

    fallback() external {
        address to = implementationOf();
        assembly {
            calldatacopy(0, 0, calldatasize())
            let ok := delegatecall(gas(), to, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch ok
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }
}

/// A wallet behind a proxy, that can be upgraded.
contract Proxy is Slots {
    constructor(address owner, address implementation) {
        bytes32 slot = IMPLEMENTATION;
        assembly {
            sstore(0, owner)
            sstore(slot, implementation)
        }
    }

    function implementationOf() internal view override returns (address) {
        return get(IMPLEMENTATION);
    }
}

/// One that asks a beacon which code to run.
contract BeaconProxy is Slots {
    constructor(address owner, address beacon) {
        bytes32 slot = BEACON;
        assembly {
            sstore(0, owner)
            sstore(slot, beacon)
        }
    }

    function implementationOf() internal view override returns (address) {
        return Beacon(get(BEACON)).implementation();
    }
}

/// Says to many proxies which code to run.
contract Beacon {
    address public implementation;

    constructor(address first) {
        implementation = first;
    }

    function upgradeTo(address next) external {
        implementation = next;
    }
}

/// A wallet like a Safe's proxy: its implementation is in slot 0, its owners are a list, and another contract, the
/// handler, says whether a signature holds.
contract SafeLike {
    address public masterCopy;
    address[] private owners;
    bytes32 private constant HANDLER = keccak256("fallback_manager.handler.address");

    constructor(address implementation, address handler, address[] memory first) {
        masterCopy = implementation;
        owners = first;
        bytes32 slot = HANDLER;
        assembly {
            sstore(slot, handler)
        }
    }

    function getOwners() external view returns (address[] memory) {
        return owners;
    }

    function changeMasterCopy(address next) external {
        masterCopy = next;
    }

    function setFallbackHandler(address next) external {
        bytes32 slot = HANDLER;
        assembly {
            sstore(slot, next)
        }
    }

    fallback() external {
        bytes32 slot = HANDLER;
        assembly {
            calldatacopy(0, 0, calldatasize())
            let ok := call(gas(), sload(slot), 0, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch ok
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }
}

/// Accepts anything, whatever is in its storage.
contract Accepts {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return MAGIC;
    }
}
