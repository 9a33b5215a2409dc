//go:build unix && !linux

package postgres

import "syscall"

var deathSignal syscall.Signal

func setDeathSignal(*syscall.SysProcAttr) {}
