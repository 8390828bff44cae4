-- What the scripts of schedules share; comes after the prelude. A schedule's definition is kept and never decoded here,
-- and no cron expression is: callers say which ticks there are, and under which version of the schedule they read it.

local function find_schedule(tenant, id, user)
  local member = tenant .. ':' .. id
  local key = PREFIX .. 'schedule:' .. member
  local found = redis.call('HMGET', key, 'owner', 'version')
  if not found[1] or (user and user ~= '' and user ~= found[1]) then return nil end
  return {
    tenant = tenant, id = id, member = member, key = key, owner = found[1], version = found[2],
    waiting = PREFIX .. 'waiting:' .. member, jobs = PREFIX .. 'fired:' .. member,
  }
end

-- Its jobs that have not ended, of those that it remembers.
local function under_way(schedule)
  local jobs = {}
  for _, id in ipairs(redis.call('LRANGE', schedule.jobs, 0, -1)) do
    local job = find(schedule.tenant, id)
    if job and not FINAL[job.status] then table.insert(jobs, job) end
  end
  return jobs
end

local function remember_job(schedule, id)
  redis.call('LPUSH', schedule.jobs, id)
  redis.call('LTRIM', schedule.jobs, 0, SCHEDULE_RECENT - 1)
end

-- When its tenders look at it again; '' is never. A tick that waits for nothing any more is due now, unless tenders
-- want it `later`.
local function set_due(schedule, tick, at, later)
  redis.call('HSET', schedule.key, 'tick', tick, 'due_at', at)
  if not later and redis.call('EXISTS', schedule.waiting) == 1 and #under_way(schedule) == 0 then at = now end
  if at == '' then
    redis.call('ZREM', DUE, schedule.member)
  else
    redis.call('ZADD', DUE, at, schedule.member)
  end
end

local function show_schedule(schedule)
  return {schedule.id, redis.call('HGETALL', schedule.key), redis.call('LRANGE', schedule.waiting, 0, -1),
    redis.call('LRANGE', schedule.jobs, 0, -1)}
end

