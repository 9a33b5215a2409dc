package postgres

import "syscall"

// deathSignal ends the server when this process dies without stopping it. The kernel forgets to send it in
// some cases (and tests turn it off): endEarlier is what can be relied on.
var deathSignal = syscall.SIGINT

func setDeathSignal(attr *syscall.SysProcAttr) { attr.Pdeathsig = deathSignal }
