package experiment

// Shown is what a unit sees of an experiment.
type Shown struct {
	// Variant is the one that serves the unit: the control where the unit was not assigned.
	Variant string `json:"variant"`
	// Assigned says that the unit takes part, so that what it does is measured. It does not where the experiment does not run,
	// where its plan does not cover the unit, and where another experiment, which was started before, has it.
	Assigned   bool   `json:"assigned"`
	Experiment string `json:"experiment"`
	PlanNumber int    `json:"planNumber"`
	Status     string `json:"status"`
}
