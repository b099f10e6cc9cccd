// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// A token that behaves, and misbehaves, as it is told to.
contract TestToken is ERC20 {
    uint8 private immutable _decimals;
    /// Hundredths of a percent that each transfer loses on its way, to the token itself.
    uint256 public feeBasisPoints;
    /// While it is set, transfers are carried out and then reverted, logs and all.
    bool public frozen;

    constructor(
        string memory name,
        string memory symbol,
        uint8 decimals_,
        uint256 feeBasisPoints_,
        uint256 supply,
        address owner
    ) ERC20(name, symbol) {
        _decimals = decimals_;
        feeBasisPoints = feeBasisPoints_;
        _mint(owner, supply);
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    function setFrozen(bool frozen_) external {
        frozen = frozen_;
    }

    function setFee(uint256 feeBasisPoints_) external {
        feeBasisPoints = feeBasisPoints_;
    }

    /// Several transfers in one transaction.
    function transferMany(address[] calldata to, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < to.length; i++) {
            transfer(to[i], amounts[i]);
        }
    }

    function _update(address from, address to, uint256 amount) internal override {
        bool moves = from != address(0) && to != address(0);
        uint256 fee = moves ? amount * feeBasisPoints / 10_000 : 0;
        if (fee > 0) super._update(from, address(this), fee);
        super._update(from, to, amount - fee);
        require(!moves || !frozen, "frozen");
    }
}

/// Passes the native coin on, as a wallet contract does: no transaction pays `to` directly.
contract Forwarder {
    function forward(address payable to) external payable {
        (bool sent, ) = to.call{value: msg.value}("");
        require(sent, "refused");
    }
}
