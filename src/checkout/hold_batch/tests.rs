use super::*;

/// A buyer whose deadline is so far from now, and what he hears.
fn buyer(left: Duration) -> (HoldJob, oneshot::Receiver<Result<Taken, Error>>) {
    let (answer, answered) = oneshot::channel();
    let (hold_id, deadline, span) = (Uuid::from_bytes(rand::random()), Instant::now() + left, Span::none());
    (HoldJob { hold_id, qty: 1, keyed: None, deadline, span, answer }, answered)
}

#[tokio::test]
async fn who_queued_for_too_long_is_told_so_and_who_has_gone_is_dropped() {
    let minute = Duration::from_secs(60);
    let (late, mut late_hears) = buyer(Duration::ZERO);
    let (patient, mut patient_hears) = buyer(minute);
    let (gone, _) = buyer(minute);
    let patient_id = patient.hold_id;
    let wanted = wanted(vec![late, patient, gone]);
    assert_eq!(wanted.iter().map(|job| job.hold_id).collect::<Vec<_>>(), [patient_id]);
    assert!(matches!(late_hears.try_recv(), Ok(Err(Error::Overloaded))));
    assert!(patient_hears.try_recv().is_err(), "his turn comes");
}
