// SPDX-License-Identifier: Apache-2.0

// Asks an account's contract whether it accepts a signature (ERC-1271), also before the account is deployed (ERC-6492).
// It is never deployed itself: its bytecode and the question are the data of an eth_call without "to", and what it
// returns in the place of its runtime code is the answer. Nothing that it does outlives the call.
//
// The question, after the bytecode, in words of 32 bytes:
//   account | factory | length of prepare | length of question | prepare | question
// factory is zero if there is nothing to prepare; prepare is the factory's call data; question is the call data of
// isValidSignature(bytes32,bytes).
//
// The answer, six words:
//   verdict | chain id | what the account is | hash of its code | hash of its owners | gas that isValidSignature took
// verdict: 1 accepted, 2 the account has no code, 3 the account was prepared and still has none, 4 it reverted or ran
// out of gas, 5 it answered something else than exactly the magic value in 32 bytes.
// what the account is: 0 nothing, 1 a contract, 2 delegated (EIP-7702), 3 a contract after it was prepared.
object "Validator" {
  code {
    codecopy(0, datasize("Validator"), sub(codesize(), datasize("Validator")))
    let account := mload(0x00)
    let factory := mload(0x20)
    let prepare := mload(0x40)
    let question := add(0x80, prepare)
    let out := add(question, mload(0x60)) // free memory

    // An account that is there is never prepared: what it says then holds on the chain as it is.
    let what := 0
    switch extcodesize(account)
    case 0 {
      if factory {
        pop(call(left(), factory, 0, 0x80, prepare, 0, 0))
        if extcodesize(account) { what := 3 }
      }
    }
    default {
      what := 1
      mstore(out, 0)
      extcodecopy(account, out, 0, 3)
      if eq(shr(232, mload(out)), 0xef0100) { what := 2 }
    }

    // Where the account has a list of owners (getOwners(), as a Safe has), a change of it can be seen later.
    let owners := 0
    let verdict := 2
    let used := 0
    if and(iszero(what), gt(factory, 0)) { verdict := 3 }
    if what {
      mstore(out, shl(224, 0xa0e67e2b))
      if staticcall(300000, account, out, 4, 0, 0) {
        if and(gt(returndatasize(), 0x3f), lt(returndatasize(), 0x1001)) {
          let size := returndatasize()
          returndatacopy(out, 0, size)
          owners := keccak256(out, size)
        }
      }

      verdict := 4
      mstore(out, 0)
      used := gas()
      // What comes back is not copied beyond one word, whatever its size. A staticcall cannot change a state.
      let ok := staticcall(left(), account, question, mload(0x60), out, 0x20)
      used := sub(used, gas())
      if ok {
        verdict := 5
        if and(eq(returndatasize(), 0x20), eq(mload(out), shl(224, 0x1626ba7e))) { verdict := 1 }
      }
    }

    mstore(out, verdict)
    mstore(add(out, 0x20), chainid())
    mstore(add(out, 0x40), what)
    mstore(add(out, 0x60), extcodehash(account))
    mstore(add(out, 0x80), owners)
    mstore(add(out, 0xa0), used)
    return(out, 0xc0)

    // The gas that may be given away: enough is kept to answer, whatever the other side does.
    function left() -> g {
      g := gas()
      switch gt(g, 200000)
      case 0 { g := 0 }
      default { g := sub(g, 200000) }
    }
  }
}
