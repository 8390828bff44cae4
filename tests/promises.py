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
    "A job goes on from its last recorded step after a worker's death": [
        "tests/integration/jobs/test_workers.py"
        "::test_a_killed_workers_job_goes_on_from_its_last_recorded_step_within_ten_seconds",
        "tests/e2e/test_crashes.py::test_a_killed_workers_job_goes_on_from_its_last_recorded_step",
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
    "What a tool says becomes no wish, no instruction, and takes no user's word's place": [
        "tests/contract/http/test_memory_extract_api.py"
        "::test_what_a_tool_says_is_a_fact_at_most_and_never_takes_a_users_place",
        "tests/unit/memory/test_extractor_rules.py::test_what_a_tool_says_is_no_wish_and_no_instruction",
    ],
    "A document that is sent again is replaced in one step, and what did not change keeps its ID": [
        "tests/contract/http/test_memory_documents_api.py::test_sent_again_only_what_changed_is_changed",
        "tests/contract/http/test_memory_documents_api.py::test_two_versions_at_once_leave_one_whole_version",
    ],
    "Why an agent knew something can be asked by its trace, and a person's erasure leaves nothing of it": [
        "tests/contract/http/test_memory_usage_api.py"
        "::test_a_turn_can_be_asked_what_it_was_given_and_told_whether_it_helped",
        "tests/contract/http/test_memory_usage_api.py::test_erasing_a_person_leaves_no_use",
        "tests/unit/memory/test_use_log.py::test_erasing_a_person_forgets_uses_wherever_they_wait",
    ],
    "A conversation's messages become memories once, however many ask": [
        "tests/contract/http/test_memory_extract_api.py::test_two_at_once_do_it_once",
    ],
    "A memory whose embedder was away is kept, found by its words, and gets its vector later": [
        "tests/contract/http/test_memory_embedder_away.py"
        "::test_what_is_stored_meanwhile_is_found_by_its_words_and_later_by_its_vector",
        "tests/contract/stores/test_memory_upkeep.py"
        "::test_after_a_change_of_model_both_are_searched_until_all_have_the_new_one",
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
