// Package schemas is the wire: the protobuf messages of commands, events and states (in the packages below it), how
// they become bytes and back, the rules that commands must keep, and the way from old events to current ones.
//
// Below it, <aggregate>/v<n> are generated from the .proto files ("make generate"), and <aggregate> holds the
// aggregate's registries and upcasters. Everything here is safe for concurrent use.
package schemas
