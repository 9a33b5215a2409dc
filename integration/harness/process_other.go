//go:build !linux

package harness

import "syscall"

func dieWithTest() *syscall.SysProcAttr { return nil }
