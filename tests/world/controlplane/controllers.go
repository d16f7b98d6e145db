package main

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	cached "k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/daemon"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/statefulset"
)

// The workers and periods of kube-controller-manager, where they matter here.
const (
	workers       = 5
	collectors    = 20
	resync        = 12 * time.Hour
	discoverAgain = 30 * time.Second
)

// clients are the ways to the API server that the controllers share.
type clients struct {
	typed    kubernetes.Interface
	metadata metadata.Interface
}

// runControllers does the work of kube-controller-manager that deletions, workloads and service
// accounts rely on, until the context ends. It begins when the API server is ready, however long
// that takes: whoever started this process knows when to give up.
func runControllers(ctx context.Context, kubeconfig string) error {
	c, err := connect(kubeconfig)
	if err != nil {
		return err
	}
	if !untilReady(ctx, c.typed) {
		return nil
	}
	shared := informers.NewSharedInformerFactory(c.typed, resync)
	runs, err := controllers(ctx, c, shared)
	if err != nil {
		return err
	}
	shared.Start(ctx.Done())
	var running sync.WaitGroup
	for _, run := range runs {
		running.Go(func() { run(ctx) })
	}
	running.Wait()
	return nil
}

// connect doesn't limit how often is asked: nobody else's API server is at the other end.
func connect(kubeconfig string) (clients, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return clients{}, err
	}
	config.QPS = -1
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return clients{}, err
	}
	protobuf := rest.CopyConfig(config)
	protobuf.ContentType = runtime.ContentTypeProtobuf
	typed, err := kubernetes.NewForConfig(protobuf)
	return clients{typed: typed, metadata: objects}, err
}

// untilReady is false when the context ended first.
func untilReady(ctx context.Context, client kubernetes.Interface) bool {
	ready := func(ctx context.Context) (bool, error) {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
	}
	return wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, ready) == nil
}

// controllers makes them all; what it returns runs them.
func controllers(ctx context.Context, c clients, shared informers.SharedInformerFactory) ([]func(context.Context), error) {
	core, apps := shared.Core().V1(), shared.Apps().V1()
	accounts, err := serviceaccount.NewServiceAccountsController(
		klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), c.typed,
		serviceaccount.DefaultServiceAccountsControllerOptions(),
	)
	if err != nil {
		return nil, err
	}
	deployments, err := deployment.NewDeploymentController(
		ctx, apps.Deployments(), apps.ReplicaSets(), core.Pods(), c.typed,
	)
	if err != nil {
		return nil, err
	}
	daemons, err := daemon.NewDaemonSetsController(
		ctx, apps.DaemonSets(), apps.ControllerRevisions(), core.Pods(), core.Nodes(), c.typed,
		flowcontrol.NewBackOff(time.Second, 15*time.Minute),
	)
	if err != nil {
		return nil, err
	}
	replicas := replicaset.NewReplicaSetController(
		ctx, apps.ReplicaSets(), core.Pods(), c.typed, replicaset.BurstReplicas,
	)
	stateful := statefulset.NewStatefulSetController(
		ctx, core.Pods(), apps.StatefulSets(), core.PersistentVolumeClaims(), apps.ControllerRevisions(), c.typed,
	)
	namespaces := namespace.NewNamespaceController(
		ctx, c.typed, c.metadata, c.typed.Discovery().ServerPreferredNamespacedResources,
		core.Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes,
	)
	collect, err := collector(ctx, c, shared)
	return []func(context.Context){
		collect,
		func(ctx context.Context) { accounts.Run(ctx, 1) },
		func(ctx context.Context) { deployments.Run(ctx, workers) },
		func(ctx context.Context) { daemons.Run(ctx, workers) },
		func(ctx context.Context) { replicas.Run(ctx, workers) },
		func(ctx context.Context) { stateful.Run(ctx, workers) },
		func(ctx context.Context) { namespaces.Run(ctx, 2*workers) },
	}, err
}

// collector is the garbage collector, which watches every kind that discovery names.
func collector(ctx context.Context, c clients, shared informers.SharedInformerFactory) (func(context.Context), error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cached.NewMemCacheClient(c.typed.Discovery()))
	others := metadatainformer.NewSharedInformerFactory(c.metadata, resync)
	started := make(chan struct{})
	close(started) // its own informers start as it finds their kinds
	collector, err := garbagecollector.NewGarbageCollector(
		ctx, c.typed, c.metadata, mapper, garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(shared, others), started,
	)
	return func(ctx context.Context) {
		go collector.Sync(ctx, c.typed.Discovery(), discoverAgain)
		collector.Run(ctx, collectors, discoverAgain)
	}, err
}
