//! JUnit, as test runners write it.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// A report of these results: name, and what failed.
pub fn junit(results: &[(String, Option<String>)]) -> String {
    let mut report = Report::new("firedrill");
    let mut suite = TestSuite::new("snapshots");
    for (name, failure) in results {
        let status = match failure {
            None => TestCaseStatus::success(),
            Some(text) => {
                let mut s = TestCaseStatus::non_success(NonSuccessKind::Failure);
                s.set_message("the result differs from its snapshot");
                s.set_description(text.clone());
                s
            }
        };
        suite.add_test_case(TestCase::new(name.clone(), status));
    }
    report.add_test_suite(suite);
    report.to_string().unwrap_or_default()
}
