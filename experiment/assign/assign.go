package assign

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Assigner assigns by one plan. It cannot change and is safe for concurrent use.
type Assigner struct {
	prefix   []byte
	coverage int
	variants []Variant
}

// New checks the plan and keeps a copy of it. Errors wrap event.ErrInvalid.
func New(p Plan) (*Assigner, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	return &Assigner{prefix: append([]byte(p.Salt), 0), coverage: p.Coverage, variants: slices.Clone(p.Variants)}, nil
}

// Variant is the variant of a unit; false where the unit is not in the experiment, and for an empty unit, which is
// nobody: the caller then serves its control. The unit is compared byte by byte: "Ada" and "ada" are two.
func (a *Assigner) Variant(unit string) (string, bool) {
	if unit == "" {
		return "", false
	}
	place, cover := a.buckets(unit)
	if cover >= a.coverage {
		return "", false
	}
	for _, v := range a.variants {
		if place < v.Weight {
			return v.Name, true
		}
		place -= v.Weight
	}
	return "", false // not reached: weights add up to Parts
}

// buckets are two independent numbers from 0 to Parts−1: one for the variant, one for the coverage.
func (a *Assigner) buckets(unit string) (place, cover int) {
	var stack [512]byte // salts and units of usual length need no allocation
	b := append(append(stack[:0], a.prefix...), unit...)
	sum := sha256.Sum256(b)
	return bucket(sum[0:4]), bucket(sum[4:8])
}

// bucket scales 32 bits to Parts. The product is below 2^53, so that JavaScript's numbers hold it.
func bucket(b []byte) int { return int(uint64(binary.BigEndian.Uint32(b)) * Parts >> 32) }
