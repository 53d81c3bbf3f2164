use super::*;

/// A job with this much time until its deadline, and the receiver of its response.
fn buyer(left: Duration) -> (HoldJob, oneshot::Receiver<Result<Taken, Error>>) {
    let (answer, answered) = oneshot::channel();
    let (hold_id, deadline, span) = (Uuid::from_bytes(rand::random()), Instant::now() + left, Span::none());
    (HoldJob { hold_id, qty: 1, keyed: None, deadline, span, answer }, answered)
}

#[tokio::test]
async fn a_job_past_its_deadline_is_refused_and_a_job_of_a_disconnected_client_is_dropped() {
    let minute = Duration::from_secs(60);
    let (late, mut late_hears) = buyer(Duration::ZERO);
    let (patient, mut patient_hears) = buyer(minute);
    let (gone, _) = buyer(minute);
    let patient_id = patient.hold_id;
    let wanted = wanted(vec![late, patient, gone]);
    assert_eq!(wanted.iter().map(|job| job.hold_id).collect::<Vec<_>>(), [patient_id]);
    assert!(matches!(late_hears.try_recv(), Ok(Err(Error::Overloaded))));
    assert!(patient_hears.try_recv().is_err(), "it waits for its batch");
}
