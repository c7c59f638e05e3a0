const char fastcommon_simulator[] = "SIMULATOR";
