// Package experiment is the aggregate of experiments on live traffic. Its stream ID names the experiment.
//
// What a command causes:
//
//	DefineExperiment  ExperimentDefined: the first plan, a better one before it was started, or the next one after it was
//	                  stopped; experiment_running, plan_invalid
//	StartExperiment   ExperimentStarted; from then on the plan does not change. experiment_running, experiment_ended
//	StopExperiment    ExperimentStopped; experiment_not_running
//	DecideExperiment  ExperimentDecided; experiment_not_stopped, variant_unknown
//	RecordOutcome     OutcomeRecorded, running or stopped; experiment_not_running, metric_unknown
//
// All but the first: experiment_not_found. Plans are numbered from 1. Each divides the units anew (its salt has the number), so
// weights change only in a new plan, and what was measured under another one is not mixed with it.
package experiment
