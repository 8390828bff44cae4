-- A job: its keys, its steps and its events. Everything here and in the other files is one library that Redis loads once
-- (services/jobs/library.py), behind a few lines that Python writes: PREFIX, ALLOWED (the table of services/jobs/states.py),
-- FINAL, HELD, ON_THE_CLOCK, LIMITS, QUEUES and some numbers. What callers sent (definitions, results) is never decoded
-- here, only kept.
--
-- PREFIX is the partition's, "jobs:{0}:". Every key is made from it, so all have one hash tag and one slot.
local LEASES, TIMERS, DEADLINES = PREFIX .. 'leases', PREFIX .. 'timers', PREFIX .. 'deadlines'
local ENDED, DUE, WEBHOOKS = PREFIX .. 'ended', PREFIX .. 'due', PREFIX .. 'webhooks'

-- Of the call that is under way: its time in milliseconds, what has happened in it, what it has changed of `counts`.
local now, said, moved

-- A step in a job's plan is {kind, name, milliseconds, what an expiry decides, approvers}; these are the kinds.
local ONCE, WAIT, BREAKPOINT, MAP = 'once', 'wait', 'breakpoint', 'map'

-- What a step is given while it runs; all of it is gone when it begins anew. What it is told to do stays.
local OF_A_RUN = {'status', 'attempts', 'result', 'error', 'verdict', 'started_at', 'finished_at', 'progress', 'note',
  'state', 'left', 'total', 'ended', 'failed', 'live', 'parallel', 'partial'}

-- Whether the table has such a row; `to` may be left out.
local function allowed(action, from, to)
  local targets = ALLOWED[action][from]
  return targets and (not to or targets[to])
end

local function split(member)
  return string.match(member, '^([^:]+):(.+)$')
end

-- Many jobs have the same one: it is decoded once, unless it is long. Nobody changes a plan.
local PLANS_KEPT, PLAN_BYTES = 100, 1000
local plans, plans_kept = {}, 0
local function plan_of(text)
  local plan = plans[text] or cjson.decode(text)
  if not plans[text] and #text <= PLAN_BYTES then
    if plans_kept == PLANS_KEPT then plans, plans_kept = {}, 0 end
    plans[text], plans_kept = plan, plans_kept + 1
  end
  return plan
end

-- What a call knows of a job.
local FACTS = {'owner', 'status', 'epoch', 'cursor', 'plan', 'wake_at', 'schedule', 'queue', 'kind', 'parent', 'item',
  'deadline_at', 'started_at', 'priority', 'place', 'line', 'time_left', 'webhook', 'losses'}

-- `found` are its FACTS, in their order.
local function job_of(tenant, id, found)
  local member = tenant .. ':' .. id
  return {
    tenant = tenant, id = id, member = member, key = PREFIX .. 'job:' .. member, owner = found[1], status = found[2],
    epoch = tonumber(found[3] or 0), cursor = tonumber(found[4] or nil), plan = found[5] and plan_of(found[5]),
    wake_at = tonumber(found[6] or nil), schedule = found[7], queue = found[8], kind = found[9],
    parent = found[10], item = found[11], deadline_at = tonumber(found[12] or nil), started_at = found[13],
    priority = tonumber(found[14] or nil), place = tonumber(found[15] or nil), line = found[16] or '',
    time_left = tonumber(found[17] or nil), webhook = found[18], losses = tonumber(found[19] or 0),
    steps = PREFIX .. 'steps:' .. member,
  }
end

-- Keys that few calls need: 'events', 'live' and 'children' (jobs that belong to it), 'pending' (items that wait).
local function key_of(job, what)
  return PREFIX .. what .. ':' .. job.member
end

local function add(fields, name, value)
  local count = #fields
  fields[count + 1], fields[count + 2] = name, value
end

-- nil when there is no such job, or (with a user that is not '') when it is not this user's.
local function find(tenant, id, user)
  local found = redis.call('HMGET', PREFIX .. 'job:' .. tenant .. ':' .. id, unpack(FACTS))
  if not found[1] or (user and user ~= '' and user ~= found[1]) then return nil end
  return job_of(tenant, id, found)
end

-- `fields` are its first ones: name, value, name … `move` writes them (`unwritten`) with its first status. Its steps
-- have nothing yet (`blank`).
local function new_job(tenant, id, fields)
  local job = job_of(tenant, id, {})
  for at = 1, #fields, 2 do job[fields[at]] = fields[at + 1] end
  job.status, job.plan, job.priority = 'new', plan_of(job.plan), tonumber(job.priority)
  job.cursor, job.wake_at = 0, tonumber(job.wake_at or nil)
  add(fields, 'created_at', now)
  job.unwritten, job.blank = fields, true
  return job
end

-- What Python makes a record of: the job's fields named in RECORD, in that order, and all that its steps have.
local function show(job)
  return redis.call('HMGET', job.key, unpack(RECORD)), redis.call('HGETALL', job.steps)
end

-- As `find`, and also for whoever a breakpoint of the job names as approver.
local function see(tenant, id, user)
  local job = find(tenant, id)
  if not job or user == '' or user == job.owner then return job end
  for _, each in ipairs(job.plan) do
    for _, approver in ipairs(each[5] or {}) do
      if approver == user then return job end
    end
  end
  return nil
end

-- Who may decide on a step, also before it is its turn: where a breakpoint names approvers nobody else may, but who
-- administers the tenant; else whoever the job is within reach of.
local function may_decide(job, index, by, administers, reaches)
  local approvers = job.plan[index + 1][5] or {}
  if administers or #approvers == 0 then return administers or reaches end
  for _, approver in ipairs(approvers) do
    if approver == by then return true end
  end
  return false
end

-- Whether a worker's report counts: it holds the job, and nobody got it since.
local function holds(job, epoch)
  return job and HELD[job.status] and job.epoch == epoch
end

local function step(job)
  return job.plan[job.cursor + 1]
end

local function get_step(job, field, index)
  -- None of a new job's steps has anything.
  return not job.blank and redis.call('HGET', job.steps, (index or job.cursor) .. ':' .. field)
end

-- `fields`: name, value, name, value …
local function set_step(job, fields, index)
  index, job.blank = (index or job.cursor) .. ':', nil
  for at = 1, #fields, 2 do fields[at] = index .. fields[at] end
  redis.call('HSET', job.steps, unpack(fields))
end

local function count_step(job, field, by)
  job.blank = nil
  return redis.call('HINCRBY', job.steps, job.cursor .. ':' .. field, by)
end

local function clear_step(job, ...)
  local fields = {...}
  for at = 1, #fields do fields[at] = job.cursor .. ':' .. fields[at] end
  redis.call('HDEL', job.steps, unpack(fields))
end

local function emit(job, kind, status, data)
  local mine = said[job.member]
  if not mine then
    mine = {job = job}
    said[job.member] = mine
  end
  -- Both are words of ours.
  mine[#mine + 1] = '{"type":"' .. kind .. '","status":"' .. status .. '","timestamp":' .. now .. ',"data":'
    .. cjson.encode(data) .. '}'
end

-- At the end of a call: keeps what has happened, and says that there is something to read. An event's number is its
-- place in the list; `dropped` is how many came before the first that is kept.
local function tell()
  for _, mine in pairs(said) do
    local job = mine.job
    local kept = redis.call('RPUSH', key_of(job, 'events'), unpack(mine))
    if kept > EVENTS_KEPT then
      redis.call('LTRIM', key_of(job, 'events'), -EVENTS_KEPT, -1)
      redis.call('HINCRBY', job.key, 'dropped', kept - EVENTS_KEPT)
    end
    redis.call('PUBLISH', PREFIX .. 'live:' .. job.id, kept)
  end
end

local function emit_step(job, kind, status, data, index)
  index = index or job.cursor
  data.index, data.step = index, job.plan[index + 1][2]
  emit(job, kind, status, data)
end

local function set_wake(job, at)
  job.wake_at = at
  redis.call('HSET', job.key, 'wake_at', at)
end

local function clear_wake(job)
  job.wake_at = nil
  redis.call('HDEL', job.key, 'wake_at')
end

local function begin(job)
  local attempts = tonumber(get_step(job, 'attempts') or 0) + 1
  set_step(job, {'attempts', attempts, 'status', 'in_progress', 'started_at', now})
  emit_step(job, 'step.started', 'in_progress', {attempt = attempts})
  return attempts
end

-- As if it had not begun: nothing was done yet.
local function unbegin(job)
  count_step(job, 'attempts', -1)
  set_step(job, {'status', 'pending'})
end
