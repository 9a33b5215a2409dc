package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// readyTimeout is how long a server may take until it answers, on a busy machine.
const readyTimeout = 3 * time.Minute

// Option changes a server; the server is then never a shared one.
type Option func(*spec)

// Env sets an environment variable of the container, instead of the value that this package would set.
func Env(key, value string) Option { return func(s *spec) { s.env[key] = value } }

// spec is a kind of server.
type spec struct {
	name     string // for messages
	image    string
	imageEnv string // the variable that names another image
	port     int    // inside the container
	env      map[string]string
	cmd      []string
	files    []file
	// advertise adds the settings that depend on the host's address.
	advertise func(env map[string]string, hostPort string)
	// ready asks the server something; nil when it answers.
	ready func(ctx context.Context, hostPort string) error
}

// Server is a running container. Its methods are safe to call from any goroutine, though not two at the
// same time for one server: they are for tests that make it fail, which a test that shares the server with
// others must not.
type Server struct {
	spec     *spec
	hostPort string
	id       string
	docker   *testcontainers.DockerClient
}

// Pause freezes all of the server's processes: connections stay open, nothing answers.
func (s *Server) Pause(ctx context.Context) error {
	const tries = 10 // the kernel gives up freezing processes that are busy starting others
	for try := 1; ; try++ {
		_, err := s.docker.ContainerPause(ctx, s.id, client.ContainerPauseOptions{})
		if err == nil || try == tries || !strings.Contains(err.Error(), "unable to freeze") {
			return s.failed("pause", err)
		}
	}
}

// Unpause ends a Pause. It does not wait.
func (s *Server) Unpause(ctx context.Context) error {
	_, err := s.docker.ContainerUnpause(ctx, s.id, client.ContainerUnpauseOptions{})
	return s.failed("unpause", err)
}

// Kill ends the server as kill -9 does. Its files stay, for Restart.
func (s *Server) Kill(ctx context.Context) error {
	_, err := s.docker.ContainerKill(ctx, s.id, client.ContainerKillOptions{Signal: "KILL"})
	if err != nil {
		return s.failed("kill", err)
	}
	wait := s.docker.ContainerWait(ctx, s.id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-wait.Result:
		return nil
	case err := <-wait.Error:
		return s.failed("kill", err)
	}
}

// Restart stops the server in order, if it runs, starts it on its files and its address, and returns when
// it answers.
func (s *Server) Restart(ctx context.Context) error {
	patience := 30 // seconds, then it is killed
	if _, err := s.docker.ContainerStop(ctx, s.id, client.ContainerStopOptions{Timeout: &patience}); err != nil {
		return s.failed("stop", err)
	}
	if _, err := s.docker.ContainerStart(ctx, s.id, client.ContainerStartOptions{}); err != nil {
		return s.failed("start", err)
	}
	return s.awaitReady(ctx)
}

// Logs returns the last lines of what the server printed.
func (s *Server) Logs(ctx context.Context) string {
	out, err := s.docker.ContainerLogs(ctx, s.id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "50"})
	if err != nil {
		return fmt.Sprintf("no log: %v", err)
	}
	defer out.Close()
	raw, err := io.ReadAll(out)
	if err != nil {
		return fmt.Sprintf("no log: %v", err)
	}
	return demultiplex(raw)
}

// demultiplex drops the 8-byte headers of Docker's stream: its type, and a big-endian length.
func demultiplex(raw []byte) string {
	var b strings.Builder
	for len(raw) >= 8 {
		n := int(raw[4])<<24 | int(raw[5])<<16 | int(raw[6])<<8 | int(raw[7])
		raw = raw[8:]
		n = min(n, len(raw))
		b.Write(raw[:n])
		raw = raw[n:]
	}
	return b.String()
}

func (s *Server) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, s.spec.name, err)
}

// awaitReady asks the server until it answers.
func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		err := s.spec.ready(attempt, s.hostPort)
		done()
		if err == nil {
			return nil
		}
		if state, inspectErr := s.docker.ContainerInspect(ctx, s.id, client.ContainerInspectOptions{}); inspectErr == nil && !state.Container.State.Running {
			return fmt.Errorf("%s ended with exit code %d:\n%s", s.spec.name, state.Container.State.ExitCode, s.Logs(ctx))
		}
		pause := time.NewTimer(100 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%s does not answer at %s: %w (last: %w)\n%s", s.spec.name, s.hostPort, ctx.Err(), err, s.Logs(context.WithoutCancel(ctx)))
		}
	}
}

// run starts a server for the named test. On an error nothing is left.
func run(ctx context.Context, sp *spec, test string) (*Server, error) {
	cli, err := connect()
	if err != nil {
		return nil, err
	}
	const tries = 3 // another process may take the port first
	for try := 1; ; try++ {
		s, err := create(ctx, cli, sp, test)
		if err == nil {
			if err = s.awaitReady(ctx); err == nil {
				return s, nil
			}
			return nil, errors.Join(err, s.remove())
		}
		if try == tries || !strings.Contains(err.Error(), "port is already allocated") && !strings.Contains(err.Error(), "address already in use") {
			return nil, fmt.Errorf("run %s from image %s (%s names another): %w", sp.name, sp.imageName(), sp.imageEnv, err)
		}
	}
}

func create(ctx context.Context, cli *testcontainers.DockerClient, sp *spec, test string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{spec: sp, docker: cli, hostPort: net.JoinHostPort(dockerHost(), strconv.Itoa(port))}
	env := map[string]string{}
	if sp.advertise != nil {
		sp.advertise(env, s.hostPort)
	}
	for k, v := range sp.env {
		env[k] = v
	}
	files := make([]testcontainers.ContainerFile, len(sp.files))
	for i, f := range sp.files {
		files[i] = testcontainers.ContainerFile{Reader: bytes.NewReader(f.content), ContainerFilePath: f.path, FileMode: 0o644}
	}
	inside := fmt.Sprintf("%d/tcp", sp.port)
	c, err := testcontainers.Run(ctx, sp.imageName(),
		testcontainers.WithEnv(env),
		testcontainers.WithLabels(labels(test)),
		testcontainers.WithCmd(sp.cmd...),
		testcontainers.WithFiles(files...),
		testcontainers.WithExposedPorts(inside),
		testcontainers.WithHostConfigModifier(func(hc *container.HostConfig) {
			binding := network.PortBinding{HostPort: strconv.Itoa(port)}
			if ip, err := netip.ParseAddr(dockerHost()); err == nil && ip.IsLoopback() {
				binding.HostIP = ip // not reachable from elsewhere
			}
			hc.PortBindings = network.PortMap{network.MustParsePort(inside): {binding}}
		}),
	)
	if c != nil {
		s.id = c.GetContainerID()
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// remove kills the container and deletes it with its files.
func (s *Server) remove() error {
	if s.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := s.docker.ContainerRemove(ctx, s.id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	return s.failed("remove", err)
}

func (sp *spec) imageName() string {
	if image := os.Getenv(sp.imageEnv); image != "" {
		return image
	}
	return sp.image
}

// obtain returns the shared server of the kind, or one for this test alone.
func obtain(t testing.TB, sp *spec, opts []Option) *Server {
	t.Helper()
	Require(t)
	if len(opts) == 0 {
		if s := shared.get(t, sp); s != nil {
			return s
		}
	}
	for _, opt := range opts {
		opt(sp)
	}
	s, err := run(t.Context(), sp, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", sp.name, s.Logs(context.Background()))
		}
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dockerHost is the address at which the containers' ports are.
func dockerHost() string {
	if host := os.Getenv("TESTCONTAINERS_HOST_OVERRIDE"); host != "" {
		return host
	}
	if rest, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "tcp://"); ok {
		if host, _, err := net.SplitHostPort(rest); err == nil {
			return host
		}
	}
	return "127.0.0.1"
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return ln.Addr().(*net.TCPAddr).Port, ln.Close()
}
