package identity

import (
	"context"

	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
)

// endSessions revokes the sessions that the user's state has ended, but for one where that is named, so that the
// log says so, too, and returns how many it ended. One that the read model does not show yet is dead all the
// same: whoever looks at it looks at the user.
func (s *Service) endSessions(ctx context.Context, user, but, reason string) (ended int, err error) {
	rows, err := s.cfg.Accounts.Sessions(ctx, user)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		if row.ID == but {
			continue
		}
		o, err := s.do(ctx, sessionType, row.ID, &sessionv1.RevokeSession{Reason: reason, User: user}, nil)
		switch {
		case rejected(err) != "":
		case err != nil:
			return ended, err
		case len(o.Events) > 0:
			ended++
		}
	}
	return ended, nil
}

// endSessionsLater does it after the answer.
func (s *Service) endSessionsLater(user, but, reason string) {
	s.later("revoke sessions", func(ctx context.Context) error {
		_, err := s.endSessions(ctx, user, but, reason)
		return err
	})
}
