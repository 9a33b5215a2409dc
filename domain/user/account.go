package user

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/proto"

	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

func (d decision) rememberDevice(c *userv1.RememberDevice) ([]proto.Message, error) {
	if err := d.confirmed(); err != nil {
		return nil, err
	}
	if i := deviceIndex(d.s, c.GetDevice()); i >= 0 && bytes.Equal(d.s.GetDevices()[i].GetLabel(), c.GetLabel()) {
		return nil, nil
	}
	return one(&userv1.DeviceRemembered{Device: c.GetDevice(), Label: c.GetLabel(), RememberedAt: d.at})
}

func (d decision) forgetDevice(c *userv1.ForgetDevice) ([]proto.Message, error) {
	if err := d.confirmed(); err != nil {
		return nil, err
	}
	if deviceIndex(d.s, c.GetDevice()) < 0 {
		return nil, nil
	}
	return one(&userv1.DeviceForgotten{Device: c.GetDevice(), ForgottenAt: d.at})
}

// setRoles works on who is locked, too: an administrator may take roles away before letting somebody in again.
func (d decision) setRoles(c *userv1.SetRoles) ([]proto.Message, error) {
	if d.s.GetStatus() != locked {
		if err := d.open(); err != nil {
			return nil, err
		}
	}
	roles, err := known(c.GetRoles())
	if err != nil {
		return nil, err
	}
	if slices.Equal(roles, d.s.GetRoles()) {
		return nil, nil
	}
	return one(&userv1.RolesSet{Roles: roles, SetAt: d.at})
}

// lock of who is locked is nothing to do: the caller has what it asked for. So are the repeats below.
func (d decision) lock(c *userv1.LockUser) ([]proto.Message, error) {
	if d.s.GetStatus() == locked {
		return nil, nil
	}
	if err := d.open(); err != nil {
		return nil, err
	}
	return one(&userv1.UserLocked{Reason: c.GetReason(), LockedAt: d.at})
}

// unlock helps as well who is out of attempts.
func (d decision) unlock() ([]proto.Message, error) {
	if d.s.GetStatus() != locked {
		if err := d.open(); err != nil {
			return nil, err
		}
		if d.s.GetPassword().GetFailures() == 0 && d.s.GetSecondFactor().GetFailures() == 0 {
			return nil, nil
		}
	}
	return one(&userv1.UserUnlocked{UnlockedAt: d.at})
}

func (d decision) disable(c *userv1.DisableUser) ([]proto.Message, error) {
	if err := d.exists(); err != nil || d.s.GetStatus() == disabled {
		return nil, err
	}
	return one(&userv1.UserDisabled{Reason: c.GetReason(), DisabledAt: d.at})
}

func (d decision) forget() ([]proto.Message, error) {
	if d.s.GetStatus() == erased {
		return nil, nil
	}
	if err := d.exists(); err != nil {
		return nil, err
	}
	return one(&userv1.UserErased{EmailClaim: d.s.GetEmailClaim(), ErasedAt: d.at})
}
