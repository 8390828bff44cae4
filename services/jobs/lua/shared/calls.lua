-- What surrounds every call: its time, and at its end the events and counts. One that adds jobs or schedules is refused
-- when there is no memory left; what brings those under way to their end is not.
local function register(name, call, adds)
  redis.register_function{
    function_name = NAME .. '_' .. name,
    flags = adds and {} or {'allow-oom'},
    callback = function(_, arguments)
      local time = redis.call('TIME')
      now, said, moved = time[1] * 1000 + math.floor(time[2] / 1000), {}, {}
      local answer = call(arguments)
      tell()
      keep_counts()
      return answer
    end,
  }
end
