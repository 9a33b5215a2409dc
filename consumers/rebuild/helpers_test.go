package rebuild_test

import (
	"strings"

	"google.golang.org/protobuf/proto"
)

func contains(s, word string) bool { return strings.Contains(s, word) }

func events(bodies ...proto.Message) []proto.Message { return bodies }
