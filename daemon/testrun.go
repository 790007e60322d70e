package daemon

import "time"

// TestStatus is where a test run is in its life, in Heroku's words.
type TestStatus string

// A run is pending until it is its turn, creating while its add-ons start, building, and running
// until its scripts have ended, or debugging while somebody has a shell in place of its tests. It succeeded if all nodes' tests did, and failed if those of one did
// not; it is errored if it did not come to that: the build failed, or Towline was stopped.
const (
	TestPending   TestStatus = "pending"
	TestCreating  TestStatus = "creating"
	TestBuilding  TestStatus = "building"
	TestRunning   TestStatus = "running"
	TestDebugging TestStatus = "debugging"
	TestSucceeded TestStatus = "succeeded"
	TestFailed    TestStatus = "failed"
	TestErrored   TestStatus = "errored"
	TestCancelled TestStatus = "cancelled"
)

// Ended tells whether a run of that status is over.
func (s TestStatus) Ended() bool {
	return s == TestSucceeded || s == TestFailed || s == TestErrored || s == TestCancelled
}

// KeptTests is how many test runs of an app are kept, the newest.
const KeptTests = 100

// TestRun is one run of the tests of an app's source.
type TestRun struct {
	App      string     `json:"app"`
	Number   int        `json:"number"`
	ID       string     `json:"id"` // of no other run of this machine
	Pipeline string     `json:"pipeline"`
	Status   TestStatus `json:"status"`
	Member   string     `json:"member"`
	Branch   string     `json:"commit_branch"`
	Commit   string     `json:"commit_sha"`     // empty for an archive
	Subject  string     `json:"commit_message"` // first line
	Created  time.Time  `json:"created_at"`
	Finished time.Time  `json:"finished_at,omitzero"`
	Error    string     `json:"message,omitempty"` // why it is errored or failed
	Nodes    []TestNode `json:"nodes"`
}

// TestNode is one of the containers that a run's tests run in.
type TestNode struct {
	Index    int        `json:"index"`
	Status   TestStatus `json:"status"`
	ExitCode int        `json:"exit_code"`
	// ErrorStatus is the status in which it was errored.
	ErrorStatus TestStatus `json:"error_status,omitempty"`
	Error       string     `json:"message,omitempty"`
	// Of its tests, as far as they were told one by one: see TestCase.
	Passed  int        `json:"passed"`
	Failed  int        `json:"failed"`
	Skipped int        `json:"skipped"`
	Failing []TestCase `json:"failing,omitempty"` // the first of those that failed
}

// TestCase is one test that failed, as TAP or a report in JUnit's XML tells it.
type TestCase struct {
	Name    string `json:"name"`
	Message string `json:"message,omitempty"` // the beginning of it
}

// TestTx has the test runs of apps.
type TestTx interface {
	TestRuns(app string) ([]TestRun, error) // newest first
	// InsertTestRun gives the run the app's next number, and forgets all but the newest KeptTests.
	InsertTestRun(*TestRun) error
	UpdateTestRun(TestRun) error
}
