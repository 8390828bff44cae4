-- The one place where a job's status changes, and what hangs on it: queue, lease, timer, deadline, approvers, parent.
local child_ended, ask, unask

local function keep_time(job, from, to)
  if ON_THE_CLOCK[to] and not ON_THE_CLOCK[from] and job.time_left then
    job.deadline_at = now + job.time_left
    redis.call('HSET', job.key, 'deadline_at', job.deadline_at)
    redis.call('ZADD', DEADLINES, job.deadline_at, job.member)
  elseif ON_THE_CLOCK[from] and not ON_THE_CLOCK[to] and job.deadline_at then
    job.time_left = math.max(0, job.deadline_at - now)
    job.deadline_at = nil
    redis.call('HSET', job.key, 'time_left', job.time_left)
    redis.call('HDEL', job.key, 'deadline_at')
    redis.call('ZREM', DEADLINES, job.member)
  end
end

local function set_index(job, name, there)
  for _, key in ipairs({name .. ':' .. job.tenant, name .. ':' .. job.tenant .. ':' .. job.owner}) do
    if there then redis.call('ZADD', PREFIX .. key, 0, job.id) else redis.call('ZREM', PREFIX .. key, job.id) end
  end
end

local function end_job(job, action)
  redis.call('ZADD', ENDED, now + RETENTION_MS, job.member)
  -- What a human rejected is no dead letter, and a map's child is its parent's matter.
  if job.status == 'failed' and action ~= 'reject' and not job.item then set_index(job, 'dead', true) end
  if job.webhook then
    redis.call('HSET', job.key, 'webhook_attempts', 0)
    redis.call('ZADD', WEBHOOKS, now, job.member)
  end
  local schedule = job.schedule and job.tenant .. ':' .. job.schedule
  -- A tick of its schedule may wait for this end.
  if schedule and redis.call('EXISTS', PREFIX .. 'waiting:' .. schedule) == 1 then
    redis.call('ZADD', DUE, now, schedule)
  end
end

local function revive(job)
  redis.call('ZREM', ENDED, job.member)
  redis.call('ZREM', WEBHOOKS, job.member)
  set_index(job, 'dead', false)
  if job.parent then redis.call('SADD', PREFIX .. 'live:' .. job.tenant .. ':' .. job.parent, job.id) end
end

-- The cursor is written here too, and of a new job its other fields.
local function move(job, action, to, data)
  local from = job.status
  if not allowed(action, from, to) then
    error(action .. ' must not lead from ' .. from .. ' to ' .. to)
  end
  if from == 'queued' then
    dequeue(job)
  elseif HELD[from] and not HELD[to] then
    let_go(job)
  elseif FINAL[from] then
    revive(job)
  elseif from == 'waiting_approval' then
    unask(job)
  end
  local fields = job.unwritten or {}
  job.unwritten = nil
  add(fields, 'status', to)
  add(fields, 'last_update', now)
  add(fields, 'cursor', job.cursor)
  if to == 'queued' then
    enqueue(job, fields)
  elseif HELD[to] and not HELD[from] then
    hold(job, fields)
  elseif to == 'waiting_approval' then
    ask(job)
  end
  job.status = to
  redis.call('HSET', job.key, unpack(fields))
  if (to == 'scheduled' or to == 'waiting_approval') and job.wake_at then
    redis.call('ZADD', TIMERS, job.wake_at, job.member)
  elseif from == 'scheduled' or from == 'waiting_approval' then
    redis.call('ZREM', TIMERS, job.member)
  end
  keep_time(job, from, to)
  if from ~= to then
    data.from, data.action = from, action
    emit(job, 'job.transition', to, data)
  end
  if FINAL[to] then
    end_job(job, action)
    if job.parent then child_ended(job) end
  end
end

-- The step is done with: passed or skipped. Its result is written once. A move comes next and writes the cursor.
local function close(job, status, result, data)
  local index = job.cursor .. ':'
  local found = redis.call('HMGET', job.steps, index .. 'result', index .. 'error', index .. 'state', index .. 'left')
  set_step(job, {'status', status, 'finished_at', now, 'result', found[1] or result})
  if found[2] or found[3] or found[4] then clear_step(job, 'error', 'state', 'left') end
  emit_step(job, 'step.finished', status, data)
  -- The time of one that was skipped before it began is the whole job's: it shall not start before.
  if job.wake_at and tonumber(get_step(job, 'attempts') or 0) > 0 then clear_wake(job) end
  job.cursor = job.cursor + 1
  if job.losses > 0 then redis.call('HSET', job.key, 'losses', 0) end
end

local function fail_step(job, reason, data)
  set_step(job, {'status', 'failed', 'error', reason, 'finished_at', now})
  data.error = reason
  emit_step(job, 'step.finished', 'failed', data)
end

local function fail_job(job, action, reason, data)
  redis.call('HSET', job.key, 'error', reason)
  move(job, action, 'failed', data)
end

-- Nobody knows whether the step took effect.
local function doubt(job, reason)
  set_step(job, {'status', 'unknown_outcome', 'error', reason, 'finished_at', now})
  emit_step(job, 'step.finished', 'unknown_outcome', {error = reason})
end

-- Who a breakpoint names as approvers finds the job in a list of their own.
ask = function(job)
  if get_step(job, 'status') ~= 'in_progress' then return end
  for _, approver in ipairs(step(job)[5] or {}) do
    redis.call('ZADD', PREFIX .. 'inbox:' .. job.tenant .. ':' .. approver, 0, job.id)
    redis.call('SADD', PREFIX .. 'asked:' .. job.member, approver)
  end
end

unask = function(job)
  for _, approver in ipairs(redis.call('SMEMBERS', PREFIX .. 'asked:' .. job.member)) do
    redis.call('ZREM', PREFIX .. 'inbox:' .. job.tenant .. ':' .. approver, job.id)
  end
  redis.call('DEL', PREFIX .. 'asked:' .. job.member)
end
