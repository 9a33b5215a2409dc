package harness

import "syscall"

// dieWithTest has the kernel kill processes that a test could not: it ended by a panic or a timeout.
func dieWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
