-- How much waits and runs. ARGV: tenant, then queues
-- Returns of each {waiting, running, ms of the oldest} of the tenant, then of everybody.
local tenant, running = ARGV[1], {}

local function add_running(name)
  running[name] = (running[name] or 0) + 1
end

for _, member in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
  local whose = split(member)
  local queue = redis.call('HGET', PREFIX .. 'job:' .. member, 'queue')
  if queue then
    add_running(queue)
    add_running(queue .. ':' .. whose)
  end
end

-- Since when the first one waits that has a score from `from` on, below `to`, and has not come back.
local function first_comer(line, waits, whose, from, to)
  local at = 0
  repeat
    local ids = redis.call('ZRANGE', line, string.format('%.0f', from), string.format('(%.0f', to), 'BYSCORE',
      'LIMIT', at, JOBS_AT_ONCE)
    local back = #ids > 0 and redis.call('ZMSCORE', waits, unpack(ids))
    for number, id in ipairs(ids) do
      if not back[number] then
        return tonumber(redis.call('HGET', PREFIX .. 'job:' .. whose .. ':' .. id, 'last_update'))
      end
    end
    at = at + JOBS_AT_ONCE
  until #ids < JOBS_AT_ONCE
  return now
end

-- In a line, jobs of one priority that came for the first time stand in the order in which they did.
local function load_of(queue, whose)
  local lines, waits = lines_of(queue, whose)
  local waiting, since = 0, tonumber(redis.call('ZRANGE', waits, 0, 0, 'WITHSCORES')[2] or now)
  for _, line in ipairs(lines) do
    waiting = waiting + redis.call('ZCARD', line)
    for priority = 0, 9 do
      since = math.min(since, first_comer(line, waits, whose, priority * PRIORITY, (priority + 1) * PRIORITY))
    end
  end
  return waiting, now - since
end

local rows = {}
for at = 2, #ARGV do
  local queue, waiting, longest = ARGV[at], 0, 0
  for _, each in ipairs(redis.call('ZRANGE', turns_of(queue), 0, -1)) do
    local count, oldest = load_of(queue, each)
    waiting, longest = waiting + count, math.max(longest, oldest)
  end
  local own_waiting, own_oldest = load_of(queue, tenant)
  rows[#rows + 1] = {
    own_waiting, running[queue .. ':' .. tenant] or 0, own_oldest, waiting, running[queue] or 0, longest,
  }
end
return rows
