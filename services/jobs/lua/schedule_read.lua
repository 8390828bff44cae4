-- ARGV: tenant, id, user or ''. Returns what `show_schedule` does, or false.
local schedule = find_schedule(ARGV[1], ARGV[2], ARGV[3])
return schedule and show_schedule(schedule)
