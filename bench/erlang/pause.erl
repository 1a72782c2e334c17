%% One server with so many entries gets its next version by `sys`, as release_handler does it: suspend, load, code_change, resume.
%% A client calls it all the time.
-module(pause).
-export([run/2]).

%% Half of it lies before the middle of what is looked at.
-define(WINDOW, 100000000).
-define(KEYS, 1000).

run(Entries, Rounds) ->
    {Longest, Without, Paused} = lists:unzip3([once(Entries) || _ <- lists:seq(1, Rounds)]),
    Line = fun(Name, Values) ->
        measure:line(io_lib:format("upgrade.~w.~s", [Entries, Name]), measure:median(Values), "ns")
    end,
    Line("longest", Longest),
    Line("without", Without),
    Line("hand-over", Paused).

once(Entries) ->
    measure:use("v1"),
    Next = measure:code("v2"),
    {ok, Server} = ledger:start_link(Entries),
    erlang:garbage_collect(Server),
    Keys = list_to_tuple([ledger:key(rand:uniform(Entries)) || _ <- lists:seq(1, ?KEYS)]),
    timer:sleep(100),
    Client = measure:client(fun() ->
        gen_server:call(Server, {touch, element(rand:uniform(?KEYS), Keys)}, infinity)
    end),
    timer:sleep(300),
    Begin = measure:now(),
    ok = sys:suspend(Server, infinity),
    measure:load(Next),
    ok = sys:change_code(Server, ledger, "1", [], infinity),
    ok = sys:resume(Server, infinity),
    End = measure:now(),
    timer:sleep(200),
    Calls = measure:stop(Client),
    2 = gen_server:call(Server, version),
    unlink(Server),
    gen_server:stop(Server),
    Around = fun(Middle) -> measure:longest(Calls, Middle - ?WINDOW div 2, Middle + ?WINDOW div 2) end,
    {Around((Begin + End) div 2), Around(Begin - 3 * ?WINDOW div 2), End - Begin}.
