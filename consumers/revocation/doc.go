// Package revocation follows the events of users and sessions, and knows who does not count any more before what they hold has
// expired: an access token, or a signed command that waits on its topic. Every process that asks follows them by itself, from
// the log, without a consumer group; what it knows is in memory, and bounded by Config.Keep.
package revocation
