"""What Bureau promises, and the tests that show it. `tests/unit/house/test_promises.py` matches both ways."""

PROMISES: dict[str, list[str]] = {
    "A write that was acknowledged survives kill -9 of any process": [
        "tests/e2e/test_crashes.py::test_kill_minus_nine_of_everything_leaves_nothing_and_loses_nothing",
    ],
    "The registry's acknowledged changes survive kill -9, a power cut, a full disk and a damaged file": [
        "tests/chaos/test_registry_kill.py::test_every_acknowledged_change_survives_kill_9",
        "tests/chaos/test_registry_power_cut.py::test_a_power_cut_at_any_moment_keeps_every_acknowledged_change",
        "tests/chaos/test_registry_full_disk.py::test_a_full_disk_refuses_every_change_and_loses_nothing",
        "tests/chaos/test_registry_damage.py"
        "::test_whatever_is_damaged_the_newest_whole_version_is_loaded_and_the_rest_is_kept",
    ],
    "Concurrent edits of an agent never lose one": [
        "tests/contract/http/registry/test_revisions_api.py::test_sixty_four_editors_at_once_lose_no_edit",
        "tests/chaos/test_registry_races.py::test_of_changes_to_the_same_revision_exactly_one_is_made",
    ],
    "An agent that is switched off is seen as such within a second everywhere, and after a cut without a gap": [
        "tests/integration/registry/test_change_feed.py"
        "::test_two_clients_see_a_disable_within_a_second_and_a_kill_leaves_no_gap",
        "tests/e2e/test_whole_trip.py::test_a_disabled_agent_is_not_chosen_by_the_next_turn",
    ],
    "Readers of the registry never wait for the disk": [
        "tests/chaos/test_registry_races.py::test_readers_do_not_wait_for_a_write_that_hangs",
    ],
    "What an MCP server does wrong costs a reason and leaves no process": [
        "tests/integration/registry/test_mcp_servers.py::test_a_server_that_goes_wrong_is_a_reason_and_leaves_no_process",
        "tests/integration/registry/test_mcp_servers.py"
        "::test_a_server_that_hangs_is_given_up_and_killed_with_its_children",
    ],
    "A session's messages are 1, 2, 3 … without gap or double; a writer whose lease was lost is refused": [
        "tests/contract/stores/test_sessions_store.py"
        "::test_concurrent_appenders_number_their_messages_without_gap_or_double",
        "tests/contract/stores/test_sessions_writers.py::test_a_writer_whose_lease_was_taken_over_is_refused",
        "tests/chaos/test_sessions_survive_kill.py::test_acknowledged_messages_survive_kill_9",
    ],
    "A paused job stays paused, and nothing of a job is lost when Redis is killed": [
        "tests/integration/jobs/test_workers.py::test_a_paused_job_stays_paused_over_a_workers_restart",
        "tests/integration/jobs/test_redis_away.py::test_nothing_is_lost_when_redis_is_killed_in_the_middle_of_a_step",
    ],
    "Every move of a job is one of the table's, whatever workers and callers do and however late they report": [
        "tests/contract/stores/jobs/test_model.py::test_the_store_does_what_the_model_does",
    ],
    "A job goes on from its last recorded step after a worker's death": [
        "tests/integration/jobs/test_workers.py"
        "::test_a_killed_workers_job_goes_on_from_its_last_recorded_step_within_ten_seconds",
        "tests/e2e/test_crashes.py::test_a_killed_workers_job_goes_on_from_its_last_recorded_step",
    ],
    "Everything that is wrong with a runbook is said at once, by file and line, before anything is sent": [
        "tests/unit/sdk/test_runbooks.py::test_all_that_is_wrong_is_said_at_once_with_its_line",
        "tests/integration/jobs/test_runbooks.py::test_what_is_wrong_is_said_before_anything_is_sent",
    ],
    "A dry run tells what every step would do, and starts nothing": [
        "tests/contract/http/test_jobs_api.py::test_a_dry_run_says_what_would_happen_and_starts_nothing",
        "tests/unit/jobs/test_dry_run.py::test_an_address_is_judged_as_the_worker_will_judge_it",
    ],
    "A tick of a schedule has one job, whoever tends it, also when the clocks change": [
        "tests/contract/stores/jobs/test_schedules.py"
        "::test_tenders_with_connections_of_their_own_give_each_of_many_ticks_one_job",
        "tests/unit/jobs/test_schedules.py"
        "::test_a_nightly_schedule_fires_once_in_a_night_in_which_the_clock_changes",
    ],
    "There is no answer without identity, at the gateway and on every service's own port": [
        "tests/e2e/test_whole_trip.py"
        "::test_nobody_gets_in_without_identity_neither_at_the_gateway_nor_at_a_services_own_port",
        "tests/unit/kit/test_web.py::test_without_identity_there_is_no_answer",
    ],
    "Nobody sees, changes or finds what belongs to another user or tenant": [
        "tests/e2e/test_isolation.py::test_another_users_session_is_not_there",
        "tests/e2e/test_isolation.py::test_another_users_memories_are_not_found",
        "tests/e2e/test_isolation.py::test_another_users_job_is_not_there",
        "tests/e2e/test_isolation.py::test_another_tenant_sees_nothing_of_this_one",
    ],
    "A search for memories never leaves its reach, whatever the filter": [
        "tests/contract/stores/test_memory_store.py::test_a_search_never_leaves_its_reach_whatever_the_filter",
    ],
    "While Postgres is away searches answer degraded, and nothing acknowledged is lost": [
        "tests/integration/memory/test_postgres_away.py"
        "::test_acknowledged_writes_survive_a_restart_under_load_and_searches_recover",
    ],
    "The same turn sent again runs once": [
        "tests/contract/http/test_runtime_api.py::test_the_same_turn_sent_again_runs_once_and_gets_the_first_answer",
        "tests/e2e/test_whole_trip.py::test_the_same_turn_sent_twice_happens_once",
    ],
    "Autonomy is enforced by the server, whatever a prompt says": [
        "tests/contract/http/test_runtime_api.py::test_autonomy_is_enforced_and_a_refused_call_is_shown",
    ],
    "Bad input gets a 4xx problem document with code and trace ID, and changes nothing": [
        "tests/e2e/test_bad_input.py::test_bad_input_is_a_problem_and_changes_nothing",
        "tests/e2e/test_bad_input.py::test_a_hundred_megabytes_are_refused_at_once",
    ],
    "One trace ID links what every service did for a request": [
        "tests/e2e/test_whole_trip.py::test_one_trace_id_links_the_log_lines_of_every_service_of_a_turn",
    ],
    "Nothing is left behind when the launcher dies, however it dies": [
        "tests/e2e/test_crashes.py::test_kill_minus_nine_of_everything_leaves_nothing_and_loses_nothing",
    ],
    "Every service starts with only its own dependencies installed": [
        "tests/integration/test_services_alone.py::test_a_service_starts_alone_and_refuses_strangers",
    ],
    "API keys are stored as digests and compared in constant time": [
        "tests/unit/kit/test_api_keys.py::test_the_file_holds_no_key_and_is_private",
    ],
}
