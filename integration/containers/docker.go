package containers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
)

// Labels of every container.
const (
	labelHost = "dev.cqrsflow.test.host" // the machine's name
	labelPID  = "dev.cqrsflow.test.pid"  // the test process
	labelTest = "dev.cqrsflow.test.name" // the test that made it
)

// docker is the connection, made once a process.
var docker struct {
	once   sync.Once
	client *testcontainers.DockerClient
	err    error
}

// Require skips the test, saying why, unless Docker answers; where CQRSFLOW_INTEGRATION is "require" it
// fails the test instead.
func Require(t testing.TB) {
	t.Helper()
	_, err := connect()
	demand(t, err, os.Getenv("CQRSFLOW_INTEGRATION"))
}

// reporter is what demand uses of a test.
type reporter interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func demand(t reporter, err error, mode string) {
	t.Helper()
	switch {
	case err == nil:
	case mode == "require":
		t.Fatalf("CQRSFLOW_INTEGRATION=require, but Docker does not answer: %v", err)
	default:
		t.Skipf("needs Docker, and Docker does not answer: %v", err)
	}
}

func connect() (*testcontainers.DockerClient, error) {
	docker.once.Do(func() {
		setDefault("TESTCONTAINERS_RYUK_DISABLED", "true")
		if host := os.Getenv("DOCKER_HOST"); host == "" || strings.HasPrefix(host, "unix:") {
			setDefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
		}
		tclog.SetDefault(noLog{})
		docker.client, docker.err = open()
		if docker.err == nil {
			removeLeftovers(docker.client)
		}
	})
	return docker.client, docker.err
}

func open() (cli *testcontainers.DockerClient, err error) {
	// Looking for Docker's address panics where there is none.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cli, err = testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := cli.Ping(ctx, client.PingOptions{}); err != nil {
		return nil, err
	}
	return cli, nil
}

func setDefault(key, value string) {
	if _, set := os.LookupEnv(key); !set {
		_ = os.Setenv(key, value) // fails for impossible names alone
	}
}

// labels say that this process made a container for the test.
func labels(test string) map[string]string {
	host, _ := os.Hostname()
	return map[string]string{labelHost: host, labelPID: strconv.Itoa(os.Getpid()), labelTest: test}
}

// removeLeftovers removes the containers of this machine's test processes that are no more. Failing to is
// no reason not to test.
func removeLeftovers(cli *testcontainers.DockerClient) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	host, err := os.Hostname()
	if err != nil {
		return
	}
	found, err := cli.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelHost+"="+host)})
	if err != nil {
		return
	}
	for _, c := range found.Items {
		pid, err := strconv.Atoi(c.Labels[labelPID])
		if err != nil || alive(pid) {
			continue
		}
		_, _ = cli.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
}

// alive errs on the side of yes: the number may have gone to another process.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	return !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// noLog drops testcontainers' own messages: what matters is in its errors.
type noLog struct{}

func (noLog) Printf(string, ...any) {}
