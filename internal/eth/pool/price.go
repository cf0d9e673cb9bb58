package pool

import (
	"context"
	"errors"
	"fmt"
	"math/big"
)

// MaxGwei is the most that is offered for a unit of gas where nobody says how much it may be.
const MaxGwei = 500

// ErrDear says that gas costs more than may be offered, by the word of the endpoint.
var ErrDear = errors.New("gas costs more than may be offered")

// PriceGas returns the tip and all that is offered for a unit of gas, which stays good through six full blocks. What an
// endpoint says of prices is its word alone, and what is signed pays it: above so many gwei there is an error instead.
func (p *Pool) PriceGas(ctx context.Context, gwei uint64) (tip, most *big.Int, err error) {
	if tip, err = p.SuggestGasTipCap(ctx); err != nil {
		return nil, nil, fmt.Errorf("tip: %w", err)
	}
	head, err := p.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("base fee: %w", err)
	}
	most = new(big.Int).Set(tip)
	if head.BaseFee != nil { // of a chain without EIP-1559, or as a node left it out
		most.Add(most, new(big.Int).Lsh(head.BaseFee, 1))
	}
	if bound := new(big.Int).SetUint64(gwei); most.Cmp(bound.Mul(bound, big.NewInt(1e9))) > 0 {
		return nil, nil, fmt.Errorf("%w: the endpoint says up to %s wei for a unit, more than %d gwei", ErrDear, most, gwei)
	}
	return tip, most, nil
}
