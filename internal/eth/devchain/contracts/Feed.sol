// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// A feed that says what anybody sets, as an aggregator of prices does, for tests and an example. Where no time of its update
// was set, it was updated in the newest block.
contract Feed {
  uint8 public decimals;
  uint80 round = 1;
  int256 answer;
  uint256 started;
  uint256 updated;
  uint80 answeredIn = 1;

  constructor(uint8 d, int256 a) { decimals = d; answer = a; }

  function set(uint8 d, uint80 r, int256 a, uint256 s, uint256 u, uint80 i) external {
    (decimals, round, answer, started, updated, answeredIn) = (d, r, a, s, u, i);
  }

  function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
    uint256 at = updated == 0 ? block.timestamp : updated;
    return (round, answer, started == 0 ? at : started, updated == 1 ? 0 : at, answeredIn);
  }
}
