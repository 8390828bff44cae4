-- What every script shares: a job's keys, its transitions and its events. Comes before each script, behind a few
-- lines that Python writes: ALLOWED (the table of services/jobs/states.py), FINAL, HELD, RETENTION_MS, EVENTS_KEPT,
-- MAX_LOSSES, LEASE_MS. What callers sent (messages, results) is never decoded here, only kept.
--
-- KEYS[1] is the partition's prefix, "jobs:{0}:". Every key is made from it, so all have one hash tag and one slot.
local prefix = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local READY, GROUP, CONSUMER = prefix .. 'ready', 'workers', 'any'
local DELAYED, ENDED, DUE = prefix .. 'delayed', prefix .. 'ended', prefix .. 'due'

-- A step in a job's plan is {kind, name, milliseconds}; these are the kinds.
local ONCE, WAIT, BREAKPOINT = 'once', 'wait', 'breakpoint'

-- nil when there is no such job, or (with a user that is not '') when it is not this user's.
local function find(tenant, id, user)
  local member = tenant .. ':' .. id
  local key = prefix .. 'job:' .. member
  local found = redis.call('HMGET', key, 'owner', 'status', 'epoch', 'cursor', 'plan', 'message', 'wake_at',
    'schedule')
  if not found[1] or (user and user ~= '' and user ~= found[1]) then return nil end
  return {
    tenant = tenant, id = id, member = member, key = key, owner = found[1], status = found[2],
    epoch = tonumber(found[3]), cursor = tonumber(found[4]), plan = cjson.decode(found[5]),
    message = found[6], wake_at = tonumber(found[7] or nil), schedule = found[8],
    steps = prefix .. 'steps:' .. member, events = prefix .. 'events:' .. member,
  }
end

local function find_member(member)
  local tenant, id = string.match(member, '^([^:]+):(.+)$')
  return find(tenant, id)
end

-- Whether a worker's report counts: it holds the job, and nobody got it since.
local function holds(job, epoch)
  return job and HELD[job.status] and job.epoch == epoch
end

local function step(job)
  return job.plan[job.cursor + 1]
end

local function get_step(job, field)
  return redis.call('HGET', job.steps, job.cursor .. ':' .. field)
end

local function set_step(job, fields)
  for field, value in pairs(fields) do
    redis.call('HSET', job.steps, job.cursor .. ':' .. field, value)
  end
end

local function clear_step(job, ...)
  for _, field in ipairs({...}) do
    redis.call('HDEL', job.steps, job.cursor .. ':' .. field)
  end
end

local function emit(job, kind, status, data)
  local seq = redis.call('HINCRBY', job.key, 'seq', 1)
  local event = cjson.encode({seq = seq, type = kind, status = status, timestamp = now, data = data})
  redis.call('RPUSH', job.events, event)
  redis.call('LTRIM', job.events, -EVENTS_KEPT, -1)
  redis.call('PUBLISH', prefix .. 'live:' .. job.id, seq)
end

local function emit_step(job, kind, status, data)
  data.index, data.step = job.cursor, step(job)[2]
  emit(job, kind, status, data)
end

-- A delivered message may be deleted; one that was not must stay, or the group's lag becomes unknown.
local function acknowledge(message)
  redis.call('XACK', READY, GROUP, message)
  redis.call('XDEL', READY, message)
end

-- The one place where a job's status changes.
local function move(job, action, to, data)
  local from = job.status
  if not (ALLOWED[action][from] and ALLOWED[action][from][to]) then
    error(action .. ' must not lead from ' .. from .. ' to ' .. to)
  end
  if HELD[from] and not HELD[to] then
    acknowledge(job.message)
    redis.call('HDEL', job.key, 'message', 'worker')
  elseif from == 'queued' and to ~= 'running' then
    -- Its message stays in the stream and is out of date from now on.
    job.epoch = redis.call('HINCRBY', job.key, 'epoch', 1)
  elseif from == 'scheduled' then
    redis.call('ZREM', DELAYED, job.member)
  elseif from == 'failed' then
    redis.call('ZREM', ENDED, job.member)
  end
  job.status = to
  redis.call('HSET', job.key, 'status', to, 'last_update', now)
  if to == 'queued' then
    job.epoch = redis.call('HINCRBY', job.key, 'epoch', 1)
    redis.call('XADD', READY, '*', 'tenant', job.tenant, 'job', job.id, 'epoch', job.epoch)
  elseif to == 'scheduled' then
    redis.call('ZADD', DELAYED, job.wake_at, job.member)
  elseif FINAL[to] then
    redis.call('ZADD', ENDED, now + RETENTION_MS, job.member)
    local schedule = job.schedule and job.tenant .. ':' .. job.schedule
    -- A tick of its schedule may wait for this end.
    if schedule and redis.call('EXISTS', prefix .. 'waiting:' .. schedule) == 1 then
      redis.call('ZADD', DUE, now, schedule)
    end
  end
  if from ~= to then
    data.from, data.action = from, action
    emit(job, 'job.transition', to, data)
  end
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
  local attempts = redis.call('HINCRBY', job.steps, job.cursor .. ':attempts', 1)
  set_step(job, {status = 'in_progress', started_at = now})
  emit_step(job, 'step.started', 'in_progress', {attempt = attempts})
  return attempts
end

-- The step is done with: passed or skipped. Its result is written once.
local function close(job, status, result, data)
  redis.call('HSETNX', job.steps, job.cursor .. ':result', result)
  set_step(job, {status = status, finished_at = now})
  clear_step(job, 'error')
  emit_step(job, 'step.finished', status, data)
  job.cursor = job.cursor + 1
  redis.call('HSET', job.key, 'cursor', job.cursor, 'losses', 0)
  clear_wake(job)
end

local function fail_job(job, action, reason, data)
  redis.call('HSET', job.key, 'error', reason)
  move(job, action, 'failed', data)
end

-- Nobody knows whether the step took effect.
local function doubt(job, reason)
  set_step(job, {status = 'unknown_outcome', error = reason, finished_at = now})
  emit_step(job, 'step.finished', 'unknown_outcome', {error = reason})
end

-- What the job does now that its cursor stands where it stands. Returns true when the worker that holds it (`keep`)
-- shall run the step at the cursor.
local function advance(job, action, data, keep)
  local next_step = step(job)
  if not next_step then
    move(job, action, 'succeeded', data)
  elseif job.status == 'pausing' or (job.status == 'paused' and action ~= 'resume') then
    move(job, action, 'paused', data)
  elseif get_step(job, 'status') == 'unknown_outcome' then
    move(job, action, 'waiting_approval', data)
  elseif job.wake_at then
    move(job, action, 'scheduled', data)
  elseif next_step[1] == BREAKPOINT then
    local reached = get_step(job, 'status') == 'in_progress'
    if not reached then begin(job) end
    move(job, action, 'waiting_approval', data)
    if not reached then emit_step(job, 'breakpoint.hit', 'waiting_approval', {}) end
  elseif next_step[1] == WAIT then
    begin(job)
    set_wake(job, now + next_step[3])
    move(job, action, 'scheduled', data)
  elseif keep then
    move(job, action, 'running', data)
    return true
  else
    move(job, action, 'queued', data)
  end
  return false
end

-- The worker is gone (`lose`) or goes (`release`) in the middle of a step.
local function give_up(job, action, reason)
  local data = {reason = reason}
  if job.status == 'queued' then
    move(job, action, 'queued', data)
    return
  end
  local once = step(job)[1] == ONCE
  local losses = 0
  if action == 'lose' then losses = redis.call('HINCRBY', job.key, 'losses', 1) end
  if once then doubt(job, reason) else set_step(job, {status = 'pending'}) end
  if losses >= MAX_LOSSES and not once then
    set_step(job, {status = 'failed', error = reason, finished_at = now})
    emit_step(job, 'step.finished', 'failed', {error = reason})
    fail_job(job, action, reason .. ', ' .. losses .. ' times in the same step', data)
  elseif job.status == 'pausing' then
    move(job, action, 'paused', data)
  elseif once then
    move(job, action, 'waiting_approval', data)
  else
    move(job, action, 'queued', data)
  end
end

-- Creates a job, or finds the one that the same idempotency key started.
-- arguments: tenant, owner, id, idempotency key or '', fingerprint, by, plan, then the job's fields and values
-- Returns {'created' | 'known', id, status} or {'reused'}.
local function start_job(arguments)
  local tenant, owner, id, idempotency, fingerprint = unpack(arguments, 1, 5)
  local promise = prefix .. 'idem:' .. tenant .. ':' .. owner .. ':' .. idempotency
  if idempotency ~= '' then
    local known = redis.call('HMGET', promise, 'job', 'fingerprint')
    if known[1] then
      if known[2] ~= fingerprint then return {'reused'} end
      return {'known', known[1], find(tenant, known[1]).status}
    end
    redis.call('HSET', promise, 'job', id, 'fingerprint', fingerprint)
  end
  local key = prefix .. 'job:' .. tenant .. ':' .. id
  redis.call('HSET', key, 'owner', owner, 'idempotency_key', idempotency, 'plan', arguments[7],
    'status', 'new', 'epoch', 0, 'cursor', 0, 'seq', 0, 'attempt', 1, 'losses', 0, 'created_at', now)
  redis.call('HSET', key, unpack(arguments, 8))
  redis.call('ZADD', prefix .. 'index:' .. tenant, 0, id)
  redis.call('ZADD', prefix .. 'index:' .. tenant .. ':' .. owner, 0, id)
  local job = find(tenant, id)
  advance(job, 'start', {by = arguments[6]})
  return {'created', id, job.status}
end

-- At once: the worker learns it with its next heartbeat and stops; a report that comes later is refused.
local function cancel_job(job, data)
  if HELD[job.status] then
    doubt(job, 'cancelled while it was under way')
  elseif get_step(job, 'status') == 'in_progress' then
    set_step(job, {status = 'pending'})
  end
  move(job, 'cancel', 'cancelled', data)
end

