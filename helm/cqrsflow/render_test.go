package cqrsflow_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// least is what has to be given.
const least = `
kafka: {brokers: ["kafka-0:9092", "kafka-1:9093"]}
postgres: {existingSecret: pg}
elasticsearch: {urls: ["http://es:9200"]}
`

// object is a rendered object, decoded strictly into its type.
type object struct {
	apiVersion, kind, name string
	annotations            map[string]string
	typed                  any
}

func (o object) String() string { return o.kind + "/" + o.name }

// kinds are the types that the chart may render. Those of others' operators are ours, in crd_test.go.
var kinds = map[string]func() any{
	"v1 ConfigMap":                            func() any { return &corev1.ConfigMap{} },
	"v1 Service":                              func() any { return &corev1.Service{} },
	"v1 ServiceAccount":                       func() any { return &corev1.ServiceAccount{} },
	"v1 Pod":                                  func() any { return &corev1.Pod{} },
	"apps/v1 StatefulSet":                     func() any { return &appsv1.StatefulSet{} },
	"apps/v1 Deployment":                      func() any { return &appsv1.Deployment{} },
	"batch/v1 Job":                            func() any { return &batchv1.Job{} },
	"policy/v1 PodDisruptionBudget":           func() any { return &policyv1.PodDisruptionBudget{} },
	"autoscaling/v2 HorizontalPodAutoscaler":  func() any { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"networking.k8s.io/v1 NetworkPolicy":      func() any { return &networkingv1.NetworkPolicy{} },
	"networking.k8s.io/v1 Ingress":            func() any { return &networkingv1.Ingress{} },
	"monitoring.coreos.com/v1 ServiceMonitor": func() any { return &serviceMonitor{} },
	"monitoring.coreos.com/v1 PrometheusRule": func() any { return &prometheusRule{} },
	"keda.sh/v1alpha1 ScaledObject":           func() any { return &scaledObject{} },
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// texts renders the chart as Helm does, the schema's check included. Later values win.
func texts(t *testing.T, values ...string) (map[string]string, error) {
	t.Helper()
	c := load(t)
	merged := map[string]any{}
	for _, v := range values {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(v), &m); err != nil {
			t.Fatalf("%v\n%s", err, v)
		}
		merged = chartutil.MergeTables(m, merged)
	}
	caps := chartutil.DefaultCapabilities.Copy()
	vals, err := chartutil.ToRenderValues(c, merged, chartutil.ReleaseOptions{Name: "shop", Namespace: "prod", IsInstall: true}, caps)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.Render(c, vals)
}

// render renders over least, and decodes every object strictly: a field that its type does not have fails.
func render(t *testing.T, values ...string) []object {
	t.Helper()
	files, err := texts(t, append([]string{least}, values...)...)
	if err != nil {
		t.Fatal(err)
	}
	var out []object
	seen := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(path, ".txt") {
			continue
		}
		for _, doc := range strings.Split("\n"+files[path], "\n---") {
			var head struct {
				APIVersion string `json:"apiVersion"`
				Kind       string `json:"kind"`
				Metadata   struct {
					Name        string            `json:"name"`
					Annotations map[string]string `json:"annotations"`
				} `json:"metadata"`
			}
			if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
				t.Fatalf("%s: %v\n%s", path, err, doc)
			}
			if head.Kind == "" {
				if rest := strings.TrimSpace(doc); rest != "" && !strings.HasPrefix(rest, "#") {
					t.Errorf("%s: no object: %s", path, rest)
				}
				continue
			}
			o := object{apiVersion: head.APIVersion, kind: head.Kind, name: head.Metadata.Name, annotations: head.Metadata.Annotations}
			if made := kinds[head.APIVersion+" "+head.Kind]; made != nil {
				o.typed = made()
			} else {
				t.Fatalf("%s: %s %s is no kind that the chart renders", path, head.APIVersion, head.Kind)
			}
			if err := yaml.UnmarshalStrict([]byte(doc), o.typed); err != nil {
				t.Errorf("%s: %s: %v\n%s", path, o, err, doc)
			}
			if seen[o.String()] {
				t.Errorf("%s is there twice", o)
			}
			seen[o.String()] = true
			if len(o.name) > 63 {
				t.Errorf("the name of %s has %d characters; 63 are allowed", o, len(o.name))
			}
			out = append(out, o)
		}
	}
	return out
}

// find returns the object of that kind and name.
func find[T any](t *testing.T, objects []object, name string) *T {
	t.Helper()
	for _, o := range objects {
		if x, ok := o.typed.(*T); ok && o.name == name {
			return x
		}
	}
	t.Fatalf("there is no %T %s among %v", *new(T), name, objects)
	return nil
}

func count[T any](objects []object) (n int) {
	for _, o := range objects {
		if _, ok := o.typed.(*T); ok {
			n++
		}
	}
	return n
}

// pod is a pod's specification, wherever it stands.
type pod struct {
	of     object
	labels map[string]string
	notes  map[string]string
	spec   corev1.PodSpec
	role   bool
}

func pods(objects []object) (out []pod) {
	for _, o := range objects {
		switch x := o.typed.(type) {
		case *appsv1.StatefulSet:
			out = append(out, pod{o, x.Spec.Template.Labels, x.Spec.Template.Annotations, x.Spec.Template.Spec, true})
		case *appsv1.Deployment:
			out = append(out, pod{o, x.Spec.Template.Labels, x.Spec.Template.Annotations, x.Spec.Template.Spec, true})
		case *batchv1.Job:
			out = append(out, pod{o, x.Spec.Template.Labels, nil, x.Spec.Template.Spec, false})
		case *corev1.Pod:
			out = append(out, pod{o, x.Labels, nil, x.Spec, false})
		}
	}
	return out
}

// refused returns the message with which values are refused.
func refused(t *testing.T, values ...string) string {
	t.Helper()
	files, err := texts(t, values...)
	if err == nil {
		return fmt.Sprintf("rendered %d files", len(files))
	}
	return err.Error()
}
