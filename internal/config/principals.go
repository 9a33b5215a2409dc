package config

import (
	"fmt"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// Keyring are the keys that sign and verify principals; nil where none are set. Errors wrap event.ErrConfig and show no key.
func (p *Principals) Keyring() (*principal.Keyring, error) {
	if p.Keys == "" {
		return nil, nil
	}
	keys, err := secret.ParseKeys(p.Keys)
	if err != nil {
		return nil, fmt.Errorf("%w: principal.keys: %w", event.ErrConfig, err)
	}
	return principal.NewKeyring(keys)
}

// Signer signs as a service, such as "cli"; nil, which signs nothing, where no keys are set.
func (p *Principals) Signer(service string) (*principal.Signer, error) {
	keys, err := p.Keyring()
	if keys == nil || err != nil {
		return nil, err
	}
	return &principal.Signer{Keys: keys, As: principal.Principal{Kind: principal.Service, ID: service}}, nil
}
