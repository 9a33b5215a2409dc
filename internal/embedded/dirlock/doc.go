// Package dirlock lets one process at a time use a directory.
//
// The lock is an advisory one on a file inside the directory, and belongs to the open file: the
// operating system drops it when the process ends in whatever way, so there is no stale lock to clean
// up after a kill -9, and the file itself is left in place. It also holds between two users of one
// directory in the same process. Child processes do not inherit it.
package dirlock
