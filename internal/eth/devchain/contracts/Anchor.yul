// SPDX-License-Identifier: Apache-2.0

// Anchors of one transparency log: what its operator says of it, at the time of a block that the operator does not make.
// It keeps nothing, holds nothing and can be called by nobody but the account that made it; a call is one event.
//
// After the creation code: one word, the log's id, which is the SHA-256 of its verifier key. After the runtime code: two
// words, the account that it obeys and the log's id, so that the code says whose anchors these are.
//
// A call is four words, without a selector:
//   size | root | closed | made
// size and root are of a checkpoint of the log; closed is the root of the tree of the heads in it that close runs; made is
// the time, in seconds, up to which every head is in it. It is refused unless made is at most 900 s before the block's
// time and not after it, so that an anchor cannot speak of a past that is over.
object "Anchor" {
  code {
    let size := datasize("Anchors")
    datacopy(0, dataoffset("Anchors"), size)
    mstore(size, caller())
    codecopy(add(size, 32), sub(codesize(), 32), 32)
    return(0, add(size, 64))
  }
  object "Anchors" {
    code {
      codecopy(0, sub(codesize(), 64), 32)
      if or(or(xor(mload(0), caller()), callvalue()), xor(calldatasize(), 128)) { revert(0, 0) }
      let made := calldataload(96)
      if or(gt(made, timestamp()), gt(sub(timestamp(), made), 900)) { revert(0, 0) }
      calldatacopy(0, 32, 96)
      // Anchored(uint256 indexed size, bytes32 root, bytes32 closed, uint256 made)
      log2(0, 96, 0x0a367f0e9bd8731f118dbd8d92ac35491cce34821489dfbc3274ef7ece4f5b58, calldataload(0))
    }
  }
}
