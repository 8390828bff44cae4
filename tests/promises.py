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
    "An unchanged prompt is read once, a change is seen within a second, and a cut makes nothing older than a bound": [
        "tests/integration/registry/test_prompt_cache.py"
        "::test_a_moved_label_is_seen_within_a_second_and_an_unchanged_prompt_costs_no_call",
        "tests/integration/registry/test_prompt_cache.py::test_behind_a_bad_line_nothing_is_older_than_the_bound",
        "tests/integration/registry/test_prompt_cache.py::test_a_runtime_gives_no_tenant_what_it_keeps_for_another",
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
        "tests/chaos/test_sessions_kill.py::test_every_acknowledged_message_survives_kill_9",
    ],
    "What a store remembers of a session is never taken for what others wrote since, or for what came to nothing": [
        "tests/contract/stores/test_sessions_replicas.py::test_a_change_follows_the_messages_of_another_process",
        "tests/contract/stores/test_sessions_replicas.py::test_a_session_that_is_another_persons_by_now_is_out_of_reach",
        "tests/contract/stores/test_sessions_appends.py::test_a_message_that_cannot_be_stored_takes_no_other_with_it",
        "tests/unit/sessions/test_store_sqlite.py::test_what_could_not_be_committed_is_not_remembered",
    ],
    "ADK's sessions in Bureau: every event comes back exactly, is stored once, and whoever was overtaken is told": [
        "tests/unit/sdk/test_adk_events.py::test_every_event_comes_back_exactly",
        "tests/contract/adapters/test_adk_sessions.py"
        "::test_an_append_whose_answer_was_lost_is_repeated_and_stored_once",
        "tests/contract/adapters/test_adk_sessions.py::test_of_two_services_that_race_nothing_interleaves",
        "tests/integration/adk/test_runner.py::test_a_runner_that_was_overtaken_is_told_and_nothing_interleaves",
        "tests/e2e/test_adk_api_server.py::test_adks_api_server_keeps_its_sessions_in_bureau",
    ],
    "A reader sees every message that was acknowledged before it asked, whatever becomes of the cache": [
        "tests/chaos/test_sessions_cache.py::test_nobody_is_shown_less_than_was_acknowledged_whatever_redis_does",
        "tests/contract/stores/test_sessions_cached.py::test_an_id_that_is_used_again_shows_nothing_of_its_past",
        "tests/contract/stores/test_sessions_cached.py::test_nobody_is_shown_anothers_session_by_the_cache",
    ],
    "A fork or rewind copies and destroys no message; state and context go back too; what nobody shows is erased": [
        "tests/contract/stores/test_sessions_branches.py"
        "::test_a_fork_shows_what_was_said_until_then_and_goes_its_own_way",
        "tests/contract/stores/test_sessions_branches.py"
        "::test_what_a_fork_shows_outlives_the_purge_of_its_source_and_nothing_else_does",
        "tests/contract/stores/test_sessions_postgres.py"
        "::test_of_sessions_that_are_purged_at_the_same_time_nothing_stays_behind",
        "tests/contract/stores/test_sessions_model.py"
        "::test_whatever_is_done_in_whatever_order_every_store_shows_what_was_done",
    ],
    "A summary covers what it says, applies to nothing else, is never made twice, and loses no message": [
        "tests/contract/stores/test_sessions_summaries.py::test_a_new_summary_builds_on_the_last_one",
        "tests/contract/stores/test_sessions_summaries.py::test_after_a_rewind_only_what_is_still_shown_is_summarised",
        "tests/contract/stores/test_sessions_summaries.py::test_two_at_once_make_one_summary",
        "tests/contract/stores/test_sessions_summaries.py::test_a_summary_of_what_was_rewound_meanwhile_is_not_stored",
        "tests/unit/sessions/test_summarising.py::test_covers_never_overlap_or_skip_and_what_is_left_fits",
        "tests/contract/http/test_sessions_compaction_api.py::test_a_session_is_compacted_and_nothing_of_it_is_lost",
    ],
    "A summary made without a model keeps names, numbers, decisions, open questions, preferences and results": [
        "tests/unit/sessions/test_extracting.py"
        "::test_names_numbers_decisions_questions_preferences_and_results_survive",
        "tests/unit/sessions/test_extracting.py::test_they_survive_many_summaries_of_summaries_too",
    ],
    "A write to a session that is sent again under its key is done once, and gets the first answer": [
        "tests/contract/stores/test_sessions_receipts.py"
        "::test_of_32_callers_with_one_key_one_writes_and_all_get_its_answer",
        "tests/contract/http/test_sessions_life_api.py"
        "::test_a_request_sent_twice_under_a_key_gets_the_first_answer_and_status",
    ],
    "A person's sessions and state can be erased, and nothing of others goes with them": [
        "tests/contract/stores/test_sessions_scopes.py"
        "::test_erasing_a_person_takes_all_of_that_persons_and_nothing_of_others",
    ],
    "A long conversation goes on with a summary of its beginning": [
        "tests/contract/http/test_runtime_api.py::test_a_long_conversation_goes_on_with_a_summary",
    ],
    "A paused job stays paused, and nothing of a job is lost when Redis is killed": [
        "tests/integration/jobs/test_workers.py::test_a_paused_job_stays_paused_over_a_workers_restart",
        "tests/integration/jobs/test_redis_away.py::test_nothing_is_lost_when_redis_is_killed_in_the_middle_of_a_step",
        "tests/integration/jobs/test_redis_shapes.py::test_a_job_goes_on_when_sentinels_promote_a_replica",
        "tests/integration/jobs/test_redis_shapes.py::test_a_job_goes_on_when_a_cluster_promotes_a_replica",
    ],
    "Every move of a job is one of the table's, whatever workers and callers do and however late they report": [
        "tests/contract/stores/jobs/test_model.py::test_the_store_does_what_the_model_does",
    ],
    "Whatever is killed, every job ends, each step is recorded once, and nothing is repeated that may not be": [
        "tests/chaos/test_jobs_kill.py::test_whatever_is_killed_every_job_ends_with_each_step_recorded_once",
        "tests/integration/test_http_client.py::test_a_request_that_was_sent_is_never_called_one_that_was_not",
    ],
    "A queue's limits and turns hold on all workers together, also while some are killed": [
        "tests/chaos/test_jobs_limits.py::test_limits_and_turns_hold_while_workers_are_killed",
        "tests/chaos/test_jobs_limits.py::test_two_replicas_together_let_no_queue_grow_over_its_depth",
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
    "Events of jobs come whole and once, over lines that break and a gateway that is killed": [
        "tests/e2e/test_runbooks.py"
        "::test_a_runbook_is_watched_over_a_line_that_breaks_and_approved_from_the_command_line",
        "tests/e2e/test_runbooks.py::test_streams_go_on_when_the_gateway_is_killed_while_two_jobs_wait_for_an_approval",
        "tests/unit/sdk/test_job_events.py"
        "::test_wherever_a_stream_of_several_jobs_is_cut_no_event_is_lost_and_none_comes_twice",
    ],
    "A dry run tells what every step would do, and starts nothing": [
        "tests/contract/http/test_jobs_api.py::test_a_dry_run_says_what_would_happen_and_starts_nothing",
        "tests/unit/jobs/test_dry_run.py::test_an_address_is_judged_as_the_worker_will_judge_it",
    ],
    "A tick of a schedule has one job, whoever tends it, also when the clocks change": [
        "tests/contract/stores/jobs/test_schedules.py"
        "::test_tenders_with_connections_of_their_own_give_each_of_many_ticks_one_job",
        "tests/unit/jobs/test_schedules.py::test_a_nightly_schedule_fires_once_in_a_night_in_which_the_clock_changes",
        "tests/chaos/test_jobs_clock_change.py::test_each_tick_has_one_job_while_clocks_change_and_workers_are_killed",
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
        "tests/contract/http/test_sessions_isolation.py::test_every_route_is_in_the_matrix",
        "tests/contract/http/test_sessions_isolation.py"
        "::test_anothers_session_is_answered_exactly_as_one_that_is_missing",
        "tests/contract/http/test_sessions_isolation.py::test_nothing_of_anothers_is_listed_found_taken_or_erased",
    ],
    "A search for messages never leaves its reach, whatever is asked": [
        "tests/contract/stores/test_sessions_search.py::test_nobody_finds_what_is_out_of_reach",
        "tests/contract/stores/test_sessions_search.py::test_nothing_but_words_and_quotes_means_anything",
    ],
    "After a purge nothing of the text is left in SQLite's file": [
        "tests/unit/sessions/test_search_sqlite.py::test_after_a_purge_nothing_of_the_text_is_in_the_file",
    ],
    "A full disk costs the sessions nothing that was acknowledged": [
        "tests/chaos/test_sessions_full_disk.py::test_what_was_acknowledged_before_the_disk_was_full_is_there",
        "tests/unit/sessions/test_store_sqlite.py::test_a_full_disk_is_said_and_changes_nothing_and_passes",
    ],
    "What is exported is imported the same": [
        "tests/contract/http/test_sessions_transfer_api.py::test_what_was_exported_and_purged_is_imported_the_same",
        "tests/contract/http/test_sessions_transfer_api.py::test_a_forks_export_stands_alone",
    ],
    "A damaged SQLite file is set aside whole and said, never deleted": [
        "tests/unit/sessions/test_sqlite_damage.py::test_a_damaged_file_is_set_aside_and_a_new_one_begins",
    ],
    "A copy of the sessions' file, made while it is in use, holds what was acknowledged before": [
        "tests/unit/sessions/test_sqlite_backup.py"
        "::test_what_was_acknowledged_before_a_copy_is_in_it_while_eight_write",
    ],
    "A search for memories never leaves its reach, whatever the filter": [
        "tests/contract/stores/test_memory_store.py::test_a_search_never_leaves_its_reach_whatever_the_filter",
    ],
    "A search finds the nearest memories whatever share of all its owner or its filter leaves": [
        "tests/integration/memory/test_search_plans.py::test_whatever_share_an_owner_has_its_nearest_are_found",
        "tests/integration/memory/test_search_plans.py::test_a_filter_that_leaves_few_rows_of_many_loses_none_of_them",
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
        "tests/integration/jobs/test_memory_extract.py"
        "::test_a_session_becomes_memories_once_however_often_the_job_runs",
    ],
    "A memory whose embedder was away is kept, found by its words, and gets its vector later": [
        "tests/contract/http/test_memory_embedder_away.py"
        "::test_what_is_stored_meanwhile_is_found_by_its_words_and_later_by_its_vector",
        "tests/contract/stores/test_memory_upkeep.py"
        "::test_after_a_change_of_model_both_are_searched_until_all_have_the_new_one",
    ],
    "A memory is found by a word in another form, and after a change of language every one is again": [
        "tests/contract/stores/test_memory_words.py::test_a_word_is_found_in_another_form",
        "tests/contract/stores/test_memory_words.py"
        "::test_after_a_change_of_language_memories_are_read_anew_in_the_background",
    ],
    "The same turn sent again runs once": [
        "tests/contract/http/test_runtime_api.py::test_the_same_turn_sent_again_runs_once_and_gets_the_first_answer",
        "tests/e2e/test_whole_trip.py::test_the_same_turn_sent_twice_happens_once",
    ],
    "Autonomy is enforced by the server, whatever a prompt says": [
        "tests/contract/http/test_runtime_api.py::test_autonomy_is_enforced_and_a_refused_call_is_shown",
    ],
    "A tool call that its autonomy level does not allow is never sent": [
        "tests/contract/http/test_runtime_tools_api.py::test_what_the_level_does_not_allow_is_not_sent",
        "tests/contract/http/test_runtime_tools_api.py::test_a_tenants_own_word_of_the_risk_wins_for_it_alone",
    ],
    "A tool call whose outcome nobody knows is repeated only when it may be": [
        "tests/contract/http/test_runtime_tools_api.py::test_a_call_without_an_answer_is_repeated_only_when_it_may_be",
        "tests/integration/runtime/test_tool_mcp.py::test_an_answer_that_is_cut_leaves_the_outcome_open",
    ],
    "A tool's secret is in no result and no error": [
        "tests/integration/runtime/test_tool_http.py::test_a_secret_that_the_target_echoes_does_not_come_back",
        "tests/integration/runtime/test_tool_mcp.py::test_a_started_server_gets_its_secret_which_does_not_come_back",
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
