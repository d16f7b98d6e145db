// Command controlplane is a real Kubernetes control plane without nodes, for tests: etcd,
// kube-apiserver and the controllers that deletions, workloads and service accounts rely on, in one
// process. It ends when its standard input closes, so that it doesn't outlive whoever started it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sync/errgroup"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// graceful is how long the process may take to stop after it was asked to.
const graceful = 4 * time.Second

// places names the files and ports that the parts agree on.
type places struct {
	dir      string
	port     int
	etcdPort int
	peerPort int
}

func (p places) file(name string) string { return filepath.Join(p.dir, name) }

func main() {
	p := places{}
	flags := flag.NewFlagSet("controlplane", flag.ExitOnError)
	flags.StringVar(&p.dir, "dir", "", "directory of the world: keys, tokens, kubeconfig, data")
	flags.IntVar(&p.port, "port", 0, "loopback port of the API server")
	flags.IntVar(&p.etcdPort, "etcd-port", 0, "loopback port of etcd")
	flags.IntVar(&p.peerPort, "etcd-peer-port", 0, "loopback port of etcd for peers")
	_ = flags.Parse(os.Args[1:])
	if err := run(p); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

// run serves until SIGTERM, SIGINT or the end of standard input, or until a part fails.
func run(p places) error {
	endWithParent()
	if err := startEtcd(p); err != nil {
		return err
	}
	server := apiServer(p)
	parts, ctx := errgroup.WithContext(server.Context()) // ends at a signal, or when a part does
	parts.Go(func() error { return server.ExecuteContext(ctx) })
	parts.Go(func() error { return runControllers(ctx, p.file("controllers.kubeconfig")) })
	return parts.Wait()
}

// endWithParent stops this process once standard input closes: the kernel closes the other end of
// the pipe however the parent dies. If it doesn't stop, it is cut short.
func endWithParent() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		time.Sleep(graceful)
		os.Exit(1)
	}()
}

// apiServer serves Kubernetes from the etcd in this process.
func apiServer(p places) *cobra.Command {
	command := apiserver.NewAPIServerCommand()
	command.SetArgs([]string{
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", p.etcdPort),
		fmt.Sprintf("--secure-port=%d", p.port),
		"--bind-address=127.0.0.1",
		"--cert-dir=" + p.dir,
		"--tls-cert-file=" + p.file("apiserver.crt"),
		"--tls-private-key-file=" + p.file("apiserver.key"),
		"--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.file("service-accounts.key"),
		"--service-account-signing-key-file=" + p.file("service-accounts.key"),
		"--token-auth-file=" + p.file("tokens.csv"),
		"--authorization-mode=RBAC",
		"--endpoint-reconciler-type=none",
		"--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
		"--shutdown-delay-duration=0s",
		"--profiling=false",
	})
	return command
}

// startEtcd returns once etcd answers. Nothing here has to survive a power cut, so it doesn't sync.
func startEtcd(p places) error {
	config := embed.NewConfig()
	config.Dir = p.file("etcd")
	config.LogLevel = "warn"
	config.LogOutputs = []string{"stderr"}
	config.UnsafeNoFsync = true
	// Without it each request counts as slow: a line of log for every read and write.
	config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	client := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", p.etcdPort)}
	peer := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", p.peerPort)}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return nil
	case err := <-etcd.Err():
		return err
	case <-time.After(30 * time.Second):
		return errors.New("etcd did not become ready in time")
	}
}
