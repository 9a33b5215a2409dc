package emailclaim_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/emailclaim"
	"github.com/cqrsflow/cqrsflow/event"
	emailclaimv1 "github.com/cqrsflow/cqrsflow/schemas/emailclaim/v1"
)

var update = flag.Bool("update", false, "write golden files")

type command = decider.Command[proto.Message]

var epoch = time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)

// at is the n-th second.
func at(n int) *timestamppb.Timestamp {
	return timestamppb.New(epoch.Add(time.Duration(n) * time.Second))
}

// cmd is a command that is recorded in the n-th second. When it says it happened is of no account.
func cmd(n int, body proto.Message) command {
	return command{Command: event.Command{Stream: "hmac-of-ann", Time: epoch.AddDate(5, 0, 0), RecordedTime: at(n).AsTime()}, Body: body}
}

func claim(user string) *emailclaimv1.ClaimEmail {
	return &emailclaimv1.ClaimEmail{User: user, ValidFor: durationpb.New(100 * time.Second)}
}

var (
	claimed   = &emailclaimv1.EmailClaimed{User: "ann", ClaimedAt: at(1), LapsesAt: at(101)}
	confirmed = &emailclaimv1.ClaimConfirmed{User: "ann", ConfirmedAt: at(2)}
	released  = &emailclaimv1.ClaimReleased{User: "ann", ReleasedAt: at(3)}
)

func given(t *testing.T, events ...proto.Message) *decidertest.Scenario[command, proto.Message, *emailclaimv1.EmailClaimState] {
	t.Helper()
	return decidertest.Given(t, emailclaim.Decider, events...)
}

func TestClaimConfirmRelease(t *testing.T) {
	given(t).When(cmd(1, claim("ann"))).Then(claimed).
		When(cmd(2, &emailclaimv1.ConfirmClaim{User: "ann"})).Then(confirmed).
		When(cmd(3, &emailclaimv1.ReleaseClaim{User: "ann"})).Then(released).
		ThenState(&emailclaimv1.EmailClaimState{})
	given(t, claimed, confirmed).ThenState(&emailclaimv1.EmailClaimState{Status: emailclaimv1.ClaimStatus_CLAIM_STATUS_CONFIRMED, User: "ann", ClaimedAt: at(1), ConfirmedAt: at(2)})
	given(t).When(cmd(1, claimed)).ThenFails(event.ErrUnknownType)
}

// Every command, by whose the address is: the table of the package's documentation. "" is accepted with events, "-" with none.
func TestEveryCommandInEveryCase(t *testing.T) {
	for _, tc := range []struct {
		name                    string
		events                  []proto.Message
		user                    string
		second                  int
		claim, confirm, release string
	}{
		{"free", nil, "ann", 1, "", emailclaim.CodeNotFound, "-"},
		{"free again", []proto.Message{claimed, confirmed, released}, "bob", 4, "", emailclaim.CodeNotFound, "-"},
		{"own claim", []proto.Message{claimed}, "ann", 100, "-", "", ""},
		{"own, lapsed", []proto.Message{claimed}, "ann", 101, "", emailclaim.CodeLapsed, ""},
		{"own, confirmed", []proto.Message{claimed, confirmed}, "ann", 1000, "-", "-", ""},
		{"another's", []proto.Message{claimed}, "bob", 100, emailclaim.CodeClaimed, emailclaim.CodeClaimed, "-"},
		{"another's, lapsed", []proto.Message{claimed}, "bob", 101, "", emailclaim.CodeClaimed, "-"},
		{"another's, confirmed", []proto.Message{claimed, confirmed}, "bob", 1000, emailclaim.CodeClaimed, emailclaim.CodeClaimed, "-"},
	} {
		for body, want := range map[proto.Message]string{
			claim(tc.user): tc.claim, &emailclaimv1.ConfirmClaim{User: tc.user}: tc.confirm, &emailclaimv1.ReleaseClaim{User: tc.user}: tc.release,
		} {
			t.Run(fmt.Sprintf("%s/%T", tc.name, body), func(t *testing.T) {
				switch s := given(t, tc.events...); want {
				case "":
					if events, err := emailclaim.Decide(cmd(tc.second, body), s.State()); err != nil || len(events) != 1 {
						t.Errorf("%v, %v", events, err)
					}
				case "-":
					s.When(cmd(tc.second, body)).ThenNothing()
				default:
					s.When(cmd(tc.second, body)).ThenRejected(want)
				}
			})
		}
	}
}

// Who takes a lapsed claim over has it wholly: who had it before can neither confirm nor release it.
func TestLapsedClaimIsTaken(t *testing.T) {
	taken := given(t, claimed).When(cmd(101, claim("bob"))).Then(&emailclaimv1.EmailClaimed{User: "bob", LapsedUser: "ann", ClaimedAt: at(101), LapsesAt: at(201)})
	taken.When(cmd(102, &emailclaimv1.ConfirmClaim{User: "ann"})).ThenRejected(emailclaim.CodeClaimed)
	taken.When(cmd(102, &emailclaimv1.ReleaseClaim{User: "ann"})).ThenNothing()
	taken.When(cmd(102, &emailclaimv1.ConfirmClaim{User: "bob"})).Then(&emailclaimv1.ClaimConfirmed{User: "bob", ConfirmedAt: at(102)}).
		When(cmd(1000, claim("ann"))).ThenRejected(emailclaim.CodeClaimed)
}

// The laws of every decider, and that an address never passes from one user to another but by a release or a lapse.
func TestLaws(t *testing.T) {
	taken := 0
	users := rapid.SampledFrom([]string{"ann", "bob"})
	rapid.Check(t, func(t *rapid.T) {
		var life []command
		now := 0
		for range rapid.IntRange(0, 20).Draw(t, "commands") {
			now += rapid.SampledFrom([]int{0, 10, 60}).Draw(t, "pass")
			user := users.Draw(t, "user")
			life = append(life, cmd(now, rapid.SampledFrom([]proto.Message{claim(user), claim(user), &emailclaimv1.ConfirmClaim{User: user}, &emailclaimv1.ReleaseClaim{User: user}}).Draw(t, "command")))
		}
		s := emailclaim.Decider.Initial()
		for _, e := range decidertest.Laws(t, emailclaim.Decider, life...) {
			c, ok := e.(*emailclaimv1.EmailClaimed)
			if ok && s.GetUser() != "" {
				if s.GetConfirmedAt() != nil || c.GetClaimedAt().AsTime().Before(s.GetLapsesAt().AsTime()) || c.GetLapsedUser() != s.GetUser() {
					t.Fatalf("%v was taken by %v", s, c)
				}
				taken++
			}
			s = emailclaim.Evolve(s, e)
		}
	})
	t.Logf("claims that were taken: %d", taken)
	if taken == 0 {
		t.Error("no claim lapsed and was taken: the generator tests less than it should")
	}
}

func TestGoldenFolds(t *testing.T) {
	decidertest.GoldenFolds(t, "testdata/folds.json", *update, emailclaim.Fingerprint, emailclaim.Decider, map[string][]proto.Message{
		"released": {claimed, confirmed, released},
		"taken":    {claimed, &emailclaimv1.EmailClaimed{User: "bob", LapsedUser: "ann", ClaimedAt: at(101), LapsesAt: at(201)}},
		"empty":    {&emailclaimv1.EmailClaimed{}, &emailclaimv1.ClaimConfirmed{}, &emailclaimv1.ClaimReleased{}},
	})
}

// Whatever is registered is handled, and no command is public.
func TestExhaustive(t *testing.T) {
	spec := emailclaim.Spec(nil)
	if len(spec.Commands) != 3 || len(spec.Events) != 3 {
		t.Errorf("another command or event is registered: test it here. %v %v", spec.Commands, spec.Events)
	}
	for _, c := range spec.Commands {
		if c.Public {
			t.Errorf("%s is public", c.Type)
		}
	}
	before := emailclaim.Decider.Fold(claimed)
	if after := emailclaim.Evolve(before, claim("bob")); !proto.Equal(before, after) {
		t.Error("something that is no event changed the state")
	}
}
