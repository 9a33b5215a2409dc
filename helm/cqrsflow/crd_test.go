package cqrsflow_test

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// What the chart uses of others' custom resources. Decoding is strict, so that a field which is not written here has to
// be looked up first.

type meta struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
}

// serviceMonitor is monitoring.coreos.com/v1.
type serviceMonitor struct {
	meta `json:",inline"`
	Spec struct {
		Selector     metav1.LabelSelector `json:"selector"`
		TargetLabels []string             `json:"targetLabels"`
		Endpoints    []struct {
			Port     string `json:"port"`
			Path     string `json:"path"`
			Interval string `json:"interval"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// prometheusRule is monitoring.coreos.com/v1.
type prometheusRule struct {
	meta `json:",inline"`
	Spec struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Alert       string            `json:"alert"`
				Expr        string            `json:"expr"`
				For         string            `json:"for"`
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	} `json:"spec"`
}

// scaledObject is keda.sh/v1alpha1.
type scaledObject struct {
	meta `json:",inline"`
	Spec struct {
		ScaleTargetRef struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Name       string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int `json:"minReplicaCount"`
		MaxReplicaCount int `json:"maxReplicaCount"`
		Triggers        []struct {
			Type              string            `json:"type"`
			Metadata          map[string]string `json:"metadata"`
			AuthenticationRef *struct {
				Name string `json:"name"`
			} `json:"authenticationRef"`
		} `json:"triggers"`
	} `json:"spec"`
}
