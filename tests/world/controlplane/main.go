// Command controlplane is a real Kubernetes control plane without nodes, for tests.
//
// One binary plays every part, because two components refuse to share a process
// (both apply their logging configuration). With "supervisor" it starts itself twice:
// "apiserver" (etcd embedded beside kube-apiserver) and "controllers". Each part ends
// when its standard input closes, so that none outlives whoever started it.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// graceful is how long a part may take to stop after it was asked to.
const graceful = 4 * time.Second

// places names the files and ports that the parts agree on.
type places struct {
	dir      string
	port     int
	etcdPort int
	peerPort int
}

func (p places) file(name string) string { return filepath.Join(p.dir, name) }

func (p places) flags() []string {
	return []string{
		"--dir=" + p.dir,
		fmt.Sprintf("--port=%d", p.port),
		fmt.Sprintf("--etcd-port=%d", p.etcdPort),
		fmt.Sprintf("--etcd-peer-port=%d", p.peerPort),
	}
}

func main() {
	p := &places{}
	root := &cobra.Command{Use: "controlplane", SilenceUsage: true}
	root.PersistentFlags().StringVar(&p.dir, "dir", "", "directory of the world: keys, tokens, kubeconfig, data")
	root.PersistentFlags().IntVar(&p.port, "port", 0, "loopback port of the API server")
	root.PersistentFlags().IntVar(&p.etcdPort, "etcd-port", 0, "loopback port of etcd")
	root.PersistentFlags().IntVar(&p.peerPort, "etcd-peer-port", 0, "loopback port of etcd for peers")
	root.AddCommand(
		part("supervisor", "start the API server and the controllers", p, supervise),
		part("apiserver", "etcd and kube-apiserver", p, runAPIServer),
		part("controllers", "the controllers that a cluster without nodes needs", p, runControllers),
	)
	if err := root.Execute(); err != nil {
		os.Exit(1)
	}
}

func part(use, short string, p *places, run func(places) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return run(*p) },
	}
}

// endWithParent stops this process once standard input closes: the kernel closes the
// other end of the pipe however the parent dies. A part that doesn't stop is cut short.
func endWithParent() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		time.Sleep(graceful)
		os.Exit(1)
	}()
}

// supervise keeps both parts up and ends when one of them does.
func supervise(p places) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	endWithParent()
	ended := make(chan error, 2)
	var lifelines []io.Closer
	var running int
	for _, name := range []string{"apiserver", "controllers"} {
		lifeline, err := start(self, name, p, ended)
		if err != nil {
			return err
		}
		lifelines = append(lifelines, lifeline)
		running++
	}
	select {
	case <-stop:
	case err = <-ended:
		running--
	}
	for _, lifeline := range lifelines {
		_ = lifeline.Close()
	}
	for ; running > 0; running-- {
		select {
		case <-ended:
		case <-time.After(graceful):
			return errors.New("a part did not stop in time")
		}
	}
	return err
}

// start runs one part; closing what it returns asks the part to stop.
func start(self, name string, p places, ended chan<- error) (io.Closer, error) {
	command := exec.Command(self, append([]string{name}, p.flags()...)...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	lifeline, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		if err := command.Wait(); err != nil {
			ended <- fmt.Errorf("%s: %w", name, err)
			return
		}
		ended <- nil
	}()
	return lifeline, nil
}

// runAPIServer serves Kubernetes from an etcd in the same process.
func runAPIServer(p places) error {
	endWithParent()
	if err := startEtcd(p); err != nil {
		return err
	}
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
	return command.Execute()
}

// startEtcd returns once etcd answers. Nothing here has to survive a power cut, so it doesn't sync.
func startEtcd(p places) error {
	config := embed.NewConfig()
	config.Dir = p.file("etcd")
	config.LogLevel = "warn"
	config.LogOutputs = []string{"stderr"}
	config.UnsafeNoFsync = true
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

// runControllers runs the controllers that deletions, workloads and service accounts rely on.
func runControllers(p places) error {
	endWithParent()
	command := controllers.NewControllerManagerCommand()
	command.SetArgs([]string{
		"--kubeconfig=" + p.file("controllers.kubeconfig"),
		"--controllers=garbage-collector-controller,namespace-controller,deployment-controller," +
			"replicaset-controller,statefulset-controller,daemonset-controller,serviceaccount-controller",
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	})
	return command.Execute()
}
