-- Gives ticks their jobs and moves on to the next moment: one step, made by whoever comes first with this version.
-- ARGV: tenant, id, version, next tick or '', when it is due or '', overlap, how many were dropped, how many ticks,
--   each tick and its job's id, then what `start_job` takes, with any id
-- Returns how many were started; -1 when somebody else was first.
local schedule = find_schedule(ARGV[1], ARGV[2])
if not schedule or schedule.version ~= ARGV[3] then return -1 end
local overlap, skipped, count, started = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), 0
local arguments = {unpack(ARGV, 9 + 2 * count)}

local function start(tick, id, others)
  for _, job in ipairs(others) do
    cancel_job(job, {by = schedule.id, reason = 'replaced by the next tick'})
  end
  arguments[3] = id
  start_job(arguments)
  remember_job(schedule, id)
  redis.call('HSET', schedule.key, 'last_tick', tick)
  started = started + 1
end

-- Those that wait are among the ticks; without any, the schedule is put off.
if count > 0 then redis.call('DEL', schedule.waiting) end
for at = 9, 7 + 2 * count, 2 do
  local tick, id = ARGV[at], ARGV[at + 1]
  -- A tick whose job exists was fired before: a clock was set back, say.
  if redis.call('EXISTS', PREFIX .. 'job:' .. schedule.tenant .. ':' .. id) == 0 then
    local others = under_way(schedule)
    if #others == 0 or overlap == 'replace' then
      start(tick, id, others)
    elseif overlap == 'queue' and redis.call('LLEN', schedule.waiting) < MOST_WAITING then
      redis.call('RPUSH', schedule.waiting, tick)
    else
      skipped = skipped + 1
    end
  end
end
redis.call('HINCRBY', schedule.key, 'version', 1)
redis.call('HINCRBY', schedule.key, 'started', started)
redis.call('HINCRBY', schedule.key, 'skipped', skipped)
set_due(schedule, ARGV[4], ARGV[5], count == 0)
return started
