// Package rebuild fills a new version of a projection's read model beside the one that readers see, and
// switches readers to it when it has caught up.
//
// A version is a number that the store gives out, never twice; its shape is what the code says: how its
// tables or documents are made. So the same code can build a version again, after damage or a loss that
// was accepted, and code with a new shape builds its own. A version is building until it is active, and
// active until it is retired.
//
// That a version is wanted is recorded in the store (Store.Begin). Every process that projects has a
// Driver a projection, which looks there, runs a member of a consumer group for each version that its
// code can fill, and tries to switch. Whoever asked need not stay: it can be killed, and so can any of
// the processes; asking twice is asking once.
//
// A switch holds the old version still, so that it cannot go on while it is compared: readers never see
// less than they have seen.
package rebuild
