// Package postgres runs a PostgreSQL server as a child process, for `cqrsflow dev` and tests: nothing has
// to be installed or set up. It uses a local installation's programs where there is one (version 15 or
// later), and fetches them otherwise.
//
// # What is not obvious
//
// Root. PostgreSQL refuses to run as root, so that as root it runs as an unprivileged user: the owner of an
// existing data directory, else "postgres" or "nobody". The data directory may be where that user cannot
// walk to, such as below /root: on Linux the server inherits the opened directory as file 3 and is told
// that its data is in /proc/self/fd/3, which needs no way there. `SHOW data_directory` therefore says so,
// and so does postmaster.pid. Elsewhere the path must be walkable for the server's user.
//
// Access. There is no TCP port, so that any number of servers coexist and none is reachable from elsewhere.
// The Unix socket is in a new directory of mode 0700, in the system's directory for temporary files because
// a socket's path may have about 100 bytes only; whoever can enter it (this user and root) is trusted, and
// there is no password to keep. The URL changes with every start.
//
// Durability. The data is a cache of the log, and a read model and its checkpoint commit together. Hence
// synchronous_commit is off: when the machine or the server process dies, the last half second of
// transactions may be missing, which the projections then repeat. fsync stays on, since nothing would notice
// corruption.
//
// Ending. The server has a process group of its own, so that Ctrl-C in a terminal does not end it before
// its clients have. When its starter is killed, the kernel tells it to shut down (Linux), but nothing
// depends on that: the next Start finds what still runs on the directory (processes named postgres whose
// working directory it is, never a number in a file alone), ends it and waits for it. Who may do so is
// decided by a lock on the directory, which a killed process cannot leave behind.
//
// First start. initdb works beside the final place, which the result is then renamed to: a start that was
// cut short is done again. It takes about a second, a later start less than a tenth of that.
package postgres
